#!/usr/bin/env python3
"""What a crowd of sleeping threads with stacks of 8 MiB costs, page tables included, once it has been idle for long.
idle_memory.py PROGRAM LIBRARY --threads 3000"""

import argparse
import mmap
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../diagnostics"))
from diagnostics import Program  # noqa: E402

SKIPPED = 77
PATIENCE = 60
BYTES_OF_EACH = 2700  # a goroutine that waits
PAGE_TABLE_REACH = 2 << 20


def kilobytes(pid, *names):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return sum(int(fields[name].split()[0]) for name in names)


def page_tables_come_back():
    """Whether the kernel frees page tables that madvise(2) has emptied: Linux 6.14 on x86-64, CONFIG_PT_RECLAIM."""
    with mmap.mmap(-1, 128 * PAGE_TABLE_REACH) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for offset in range(0, len(memory), PAGE_TABLE_REACH):
            memory[offset] = 1
        before = kilobytes("self", "VmPTE")
        memory.madvise(mmap.MADV_DONTNEED)
        return kilobytes("self", "VmPTE") < before - 256


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("library")
    parser.add_argument("--threads", type=int, default=3000)
    options = parser.parse_args()
    if not page_tables_come_back():
        print("this kernel keeps empty page tables")
        return SKIPPED
    with tempfile.TemporaryDirectory() as scratch, \
            Program(os.path.abspath(options.library), [os.path.abspath(options.program), str(options.threads)], scratch,
                    COSHIM_STACK_MODE="elastic", COSHIM_STACK_IDLE="50ms", COSHIM_STACK_SIZE="8M") as crowd:
        crowd.wait_for_line("ready")
        deadline = time.monotonic() + PATIENCE
        while (each := kilobytes(crowd.pid, "RssAnon", "VmPTE") * 1024 / options.threads) > BYTES_OF_EACH:
            if time.monotonic() > deadline:
                print(f"{each:.0f} bytes a thread, of these page tables {kilobytes(crowd.pid, 'VmPTE')} kB; "
                      f"expected at most {BYTES_OF_EACH}\n{crowd.errors()}")
                return 1
            time.sleep(0.1)
        print(f"{each:.0f} bytes a thread")
        if crowd.end() != 0 or crowd.errors():
            print(crowd.errors())
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

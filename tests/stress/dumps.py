#!/usr/bin/env python3
"""The stress program mix under a dump every ten milliseconds, text and JSON by turns: each of them whole and valid, and the program's own checks
hold. dumps.py PROGRAM LIBRARY --seconds 10 --mode elastic"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../diagnostics"))
import schema  # noqa: E402
from diagnostics import ASK_DUMP_JSON_FULL, ASK_DUMP_TEXT, Program, monitor_of, queue, shared_file  # noqa: E402

PATIENCE = 60


def check(text, rules):
    if text.startswith("{"):
        schema.check(json.loads(text), rules)
    else:
        assert text.startswith("=== coshim") and text.endswith("=== end of dump ===\n"), text[-300:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("library")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--mode", default="elastic")
    parser.add_argument("--workers", default="2")
    options = parser.parse_args()
    options.program, options.library = os.path.abspath(options.program), os.path.abspath(options.library)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/dump.schema.json"), encoding="utf-8") as file:
        rules = json.load(file)
    with tempfile.TemporaryDirectory() as scratch, \
            Program(options.library, [options.program, str(options.seconds)], scratch, COSHIM_STACK_MODE=options.mode,
                    COSHIM_STACK_IDLE="2ms", COSHIM_WORKERS=options.workers) as mix:
        path, dumps, asked, longest = shared_file(mix.pid, "dump"), 0, None, 0
        end = time.monotonic() + options.seconds + 2 * PATIENCE
        while mix.process.poll() is None:
            assert time.monotonic() < end, "it does not end:\n" + subprocess.run(
                ["gdb", "-p", str(mix.pid), "-batch", "-ex", "thread apply all bt"], capture_output=True, text=True, check=False).stdout
            if asked is None and (monitor := monitor_of(mix.pid)):
                asked = time.monotonic()
                try:
                    queue(mix.pid, ASK_DUMP_TEXT if dumps % 2 == 0 else ASK_DUMP_JSON_FULL, tid=monitor)
                except OSError:  # it has just ended
                    continue
            if asked is not None and os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    check(file.read(), rules)
                os.unlink(path)
                longest, asked, dumps = max(longest, time.monotonic() - asked), None, dumps + 1
            assert asked is None or time.monotonic() < asked + PATIENCE, "a dump was asked for and does not come"
            time.sleep(0.01)
        out, errors = mix.process.stdout.read().decode(), mix.errors()
        print(f"{options.mode}: {dumps} dumps, the longest after {longest:.2f} s; {out.strip()[-200:]}")
        assert mix.process.returncode == 0 and dumps > 0, (mix.process.returncode, errors)
        assert "coshim" not in errors, errors


main()

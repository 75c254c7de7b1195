#!/usr/bin/env python3
"""What is said of a stack that overflows, that nothing is said of other faults, and that a stack which was used deeply gives its
pages back: in each stack mode."""

import os
import signal
import subprocess
import sys
import tempfile
import unittest

from diagnostics import LIBRARY, Program, ask_statistics, program, wait_until

MODES = ("private", "elastic", "shared")
THREADS, MEBIBYTE = 50, 1 << 20


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


class Stacks(unittest.TestCase):
    def fault(self, kind, mode, **settings):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COSHIM_")}
        environment = {**kept, "LD_PRELOAD": LIBRARY, "COSHIM_STACK_MODE": mode, "COSHIM_STACK_IDLE": "2ms", **settings}
        ended = subprocess.run([program("stacks"), kind], env=environment, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(ended.returncode, -signal.SIGSEGV, ended.stderr)
        return ended.stderr

    def test_overflow(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                said = self.fault("overflow", mode, COSHIM_STACK_SIZE="256K")
                first, *frames = said.splitlines()
                for part in ("stack overflow", " deep,", "started in dive", "of 256 KiB", "raise COSHIM_STACK_SIZE"):
                    self.assertIn(part, first)
                self.assertGreater(sum(" recurse+0x" in frame for frame in frames), 10, said)

    def test_other_faults(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                self.assertEqual(self.fault("null", mode), "")

    def test_trim(self):
        """Deep use, then a long wait. A shared stack has one deep use for all of its threads."""
        for mode in ("private", "elastic"):
            with self.subTest(mode=mode):
                directory = tempfile.TemporaryDirectory()
                self.addCleanup(directory.cleanup)
                started = Program(LIBRARY, [program("stacks"), "deep", str(THREADS)], directory.name, COSHIM_STACK_MODE=mode,
                                  COSHIM_STACK_IDLE="20ms")
                self.addCleanup(started.__exit__)
                started.wait_for_line("ready")
                wait_until(lambda: resident(started.pid) < THREADS * MEBIBYTE // 4, "the pages are given back")
                deepest = [thread["stack"]["deepest"] for thread in started.dump_json()["threads"] if thread["id"] != 0]
                self.assertEqual(len(deepest), THREADS)
                for depth in [*deepest, ask_statistics(started.pid)["stack_deepest_bytes"]]:
                    self.assertTrue(MEBIBYTE < depth < MEBIBYTE + 64 * 1024, deepest)
                self.assertEqual(started.end(), 0)


if __name__ == "__main__":
    if not LIBRARY:
        sys.exit("COSHIM_TEST_LIBRARY and COSHIM_TEST_PROGRAMS are not set")
    unittest.main(verbosity=2)

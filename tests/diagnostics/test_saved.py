#!/usr/bin/env python3
"""Stacks whose bytes are saved elsewhere at the moment (modes elastic and shared): the dump has their whole backtraces, and brings none
back."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

import schema
from diagnostics import LIBRARY, Program, ask_statistics, program, wait_until

SOURCE = os.path.dirname(os.path.abspath(__file__))
LAUNCHER = os.environ.get("COSHIM_TEST_LAUNCHER", "")
with open(os.path.join(SOURCE, "../../docs/dump.schema.json"), encoding="utf-8") as schema_file:
    SCHEMA = json.load(schema_file)
THREADS, DEPTH = 2000, 40


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


class Saved(unittest.TestCase):
    def start(self, threads=THREADS, **environment):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        started = Program(LIBRARY, [program("recursion"), str(threads), str(DEPTH)], directory.name, **environment)
        self.addCleanup(started.__exit__)
        started.wait_for_line("ready")
        return started

    def dump(self, started, *options):
        """As an operator asks for it: coshim dump PID."""
        said = subprocess.run([LAUNCHER, "dump", *options, str(started.pid)], capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual(said.stderr, "")
        return said.stdout

    def check_frames(self, dump, threads=THREADS):
        """Every thread's backtrace: as many calls of descend() as its depth says, from its start routine on."""
        found = [thread for thread in dump["threads"] if thread.get("start", {}).get("function") == "go_down"]
        self.assertEqual(len(found), threads)
        depths = {}
        for thread in found:
            names = [frame.get("function") for frame in dump["backtraces"][thread["backtrace"]]["frames"]]
            calls = names.count("descend")
            self.assertEqual(names[names.index("descend"):names.index("descend") + calls + 1], ["descend"] * calls + ["go_down"], names)
            self.assertEqual(names[-1], "coshim_swap_start", names)
            depths[calls] = depths.get(calls, 0) + 1
        self.assertEqual(depths, {depth: threads // DEPTH for depth in range(1, DEPTH + 1)})
        return found

    def test_elastic(self):
        started = self.start(COSHIM_STACK_MODE="elastic", COSHIM_STACK_IDLE="2ms")
        if ask_statistics(started.pid)["stack_mode"] != 2:
            self.skipTest("no elastic stacks here")

        def saved():
            return sum(thread["stack"]["saved"] for thread in started.dump_json()["threads"] if thread["id"] != 0)

        wait_until(lambda: saved() == THREADS, "all stacks are saved")
        before = ask_statistics(started.pid)
        size = resident(started.pid)
        for _ in range(3):
            self.check_frames(json.loads(self.dump(started, "--json", "--full")))
            text = self.dump(started)
            self.assertEqual(text.count(" descend+0x"), DEPTH * (DEPTH + 1) // 2, "each depth is a group of its own")
        after = ask_statistics(started.pid)
        # The dump's own work remains (symbols that were read, a log's page), but not one page a stack.
        self.assertLess(resident(started.pid), size + THREADS * 4096 // 4)
        self.assertEqual(saved(), THREADS)
        self.assertEqual(after["stack_saved_bytes"], before["stack_saved_bytes"])
        self.assertEqual(started.end(), 0)

    def test_shared(self):
        started = self.start(COSHIM_STACK_MODE="shared", COSHIM_SHARED_STACKS="1", COSHIM_WORKERS="2")
        size = resident(started.pid)
        for _ in range(3):
            dump = json.loads(self.dump(started, "--json", "--full"))
            schema.check(dump, SCHEMA)
            self.check_frames(dump)
        self.assertLess(resident(started.pid), size + THREADS * 4096 // 4)
        self.assertEqual(started.end(), 0)

    def test_coming_and_going(self):
        """Dumps while stacks are saved and brought back all the time: always whole, and the threads find what they left."""
        for mode in ("elastic", "shared"):
            with self.subTest(mode=mode):
                started = self.start(200, COSHIM_STACK_MODE=mode, COSHIM_STACK_IDLE="1ms", COSHIM_SHARED_STACKS="1")
                for _ in range(20):
                    schema.check(started.dump_json(), SCHEMA)
                self.assertEqual(started.end(), 0)


if __name__ == "__main__":
    if not LIBRARY:
        sys.exit("COSHIM_TEST_LIBRARY and COSHIM_TEST_PROGRAMS are not set")
    unittest.main(verbosity=2)

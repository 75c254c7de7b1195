#!/usr/bin/env python3
"""Dumps that come one after the other while the program forks, makes threads by the thousand, blocks or handles the dump's signal: they are
whole, and the program does not notice (tests/diagnostics/programs/storm.c)."""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

import schema
from diagnostics import (ASK_DUMP_JSON, ASK_DUMP_TEXT, DUMP_SIGNAL, LIBRARY, Program, monitor_of, program, queue, shared_file, wait_until)

SOURCE = os.path.dirname(os.path.abspath(__file__))
LAUNCHER = os.environ.get("COSHIM_TEST_LAUNCHER", "")
SECONDS = float(os.environ.get("COSHIM_STORM_SECONDS", "3"))
with open(os.path.join(SOURCE, "../../docs/dump.schema.json"), encoding="utf-8") as schema_file:
    SCHEMA = json.load(schema_file)


class Storm(unittest.TestCase):
    def start(self, *arguments, **environment):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        started = Program(LIBRARY, [program(arguments[0]), *arguments[1:]], directory.name, **environment)
        self.addCleanup(started.__exit__)
        started.wait_for_line("ready")
        return started

    def dump_all_the_time(self, started):
        """Dumps of both kinds; every one that appears is looked at."""
        path, looked_at = shared_file(started.pid, "dump"), 0
        monitor = wait_until(lambda: monitor_of(started.pid), "the monitor")
        end = time.monotonic() + SECONDS
        while time.monotonic() < end or looked_at < 4:
            self.assertIsNone(started.process.poll(), started.errors())
            queue(started.pid, ASK_DUMP_JSON if looked_at % 2 == 0 else ASK_DUMP_TEXT, tid=monitor)
            wait_until(lambda: os.path.exists(path), "a dump")
            with open(path, encoding="utf-8") as file:
                text = file.read()
            os.unlink(path)
            if text.startswith("{"):
                dump = json.loads(text)
                schema.check(dump, SCHEMA)
                self.assertEqual(dump["deadlocks"], [])
            else:
                self.assertTrue(text.startswith("=== coshim") and text.endswith("=== end of dump ===\n"), text)
            looked_at += 1

    def check(self, kind):
        for mode in ("elastic", "shared", "private"):
            with self.subTest(mode=mode):
                started = self.start("storm", kind, COSHIM_STACK_MODE=mode, COSHIM_STACK_IDLE="1ms")
                self.dump_all_the_time(started)
                self.assertEqual(started.end(), 0, started.errors())
                self.assertEqual(started.errors(), "")

    def test_forks(self):
        """A child of a fork finds no lock held by a thread that only we have."""
        self.check("forks")

    def test_threads_by_the_thousand(self):
        self.check("threads")

    def test_every_signal_blocked(self):
        started = self.start("storm", "blocked")
        self.assertIn("4 alive", started.dump())  # by a plain kill
        self.dump_all_the_time(started)
        self.assertEqual(started.end(), 0, started.errors())

    def test_the_programs_own_signal(self):
        """It gets each of its signals, and none of ours; whoever asks is told."""
        started = self.start("storm", "own")
        for command in ("dump", "stats"):
            asked = subprocess.run([LAUNCHER, command, str(started.pid)], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((asked.returncode, asked.stdout), (69, ""))
            self.assertIn(f"handles signal {DUMP_SIGNAL} itself", asked.stderr)
        self.assertEqual(started.end(), 0, started.errors())
        other = self.start("storm", "own", COSHIM_DUMP_SIGNAL="RTMAX-3")
        asked = subprocess.run([LAUNCHER, "dump", str(other.pid)], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((asked.returncode, "send_signals" in asked.stdout), (0, True), asked)
        self.assertEqual(other.end(), 0, other.errors())

    def test_names(self):
        """Whatever a thread is called: JSON is JSON, and a line is a line."""
        started = self.start("names")
        dump = started.dump_json()
        schema.check(dump, SCHEMA)
        names = {thread["name"] for thread in dump["threads"]}
        self.assertLessEqual({'a"quote', "back\\slash", "???", "line?break", "tab?bell?", "????"}, names)
        lines = [line for line in started.dump().splitlines() if line.startswith("  thread ")]
        self.assertEqual(len(lines), 8)
        self.assertEqual(started.end(), 0)


if __name__ == "__main__":
    if not LIBRARY:
        sys.exit("COSHIM_TEST_LIBRARY and COSHIM_TEST_PROGRAMS are not set")
    unittest.main(verbosity=2)

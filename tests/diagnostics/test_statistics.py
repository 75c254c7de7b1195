#!/usr/bin/env python3
"""The live statistics' file, and the summary at exit."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

from diagnostics import (ASK_STATISTICS, LIBRARY, Program, ask_statistics, kernel_threads, program, queue,
                         read_statistics, shared_file, wait_until)


LAUNCHER = os.environ.get("COSHIM_TEST_LAUNCHER", "")


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.scratch = directory.name

    def start(self, *arguments, **environment):
        started = Program(LIBRARY, [program(arguments[0]), *arguments[1:]], self.scratch, **environment)
        self.addCleanup(started.__exit__)
        return started


class Live(Case):
    def test_figures(self):
        started = self.start("crowd", "300")
        started.wait_for_line("ready")
        found = ask_statistics(started.pid)
        self.assertEqual((found["alive"], found["created"], found["peak_alive"], found["parked"]), (300, 300, 300, 300))
        self.assertEqual(found["kernel_threads"], len(kernel_threads(started.pid)))
        self.assertGreaterEqual(found["switches"], 300)
        self.assertGreaterEqual(found["wake_ups"], 300)
        self.assertGreater(found["stack_live_bytes"], 300 * 100)
        self.assertGreaterEqual(found["stack_slots_in_use"], 300)
        self.assertGreater(found["resident_bytes"], 1 << 20)
        self.assertEqual(started.end(), 0)

    def test_workers_go(self):
        """Kernel threads that a crowd of blocking calls needed do not stay."""
        started = self.start("openers", COSHIM_WORKERS="2")
        started.wait_for_line("blocked")
        wait_until(lambda: ask_statistics(started.pid)["workers"] >= 30, "a worker for each")
        started.process.stdin.write(b"\n")
        started.process.stdin.flush()
        started.wait_for_line("ready")
        wait_until(lambda: ask_statistics(started.pid)["workers"] <= 8, "workers have ended")
        self.assertEqual(started.end(), 0)

    def test_figures_change(self):
        started = self.start("busy")
        started.wait_for_line("ready")
        first = ask_statistics(started.pid)
        names = ("switches", "wake_ups", "created", "updated", "sequence")

        def grown():
            now = ask_statistics(started.pid)
            return now if all(now[name] > first[name] for name in names) else None

        second = wait_until(grown, "all figures have grown")
        self.assertTrue(all(second[name] >= first[name] for name in ("steals", "hand_overs", "blocking_calls")))
        self.assertEqual(second["started"], first["started"])
        self.assertEqual(started.end(), 0)

    def test_private_and_gone_at_exit(self):
        before = os.umask(0)
        try:
            started = self.start("crowd", "3")
        finally:
            os.umask(before)
        started.wait_for_line("ready")
        path = shared_file(started.pid, "stats")
        self.assertFalse(os.path.exists(path))
        descriptors = os.listdir(f"/proc/{started.pid}/fd")
        ask_statistics(started.pid)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(os.listdir(f"/proc/{started.pid}/fd"), descriptors)
        self.assertEqual(started.end(), 0)
        self.assertFalse(os.path.exists(path))
        self.assertEqual(started.errors(), "")

    def test_gone_when_nobody_asks(self):
        started = self.start("crowd", "3")
        started.wait_for_line("ready")
        path = shared_file(started.pid, "stats")
        sequence = ask_statistics(started.pid)["sequence"]
        time.sleep(1)
        self.assertEqual(read_statistics(started.pid)["sequence"], sequence)  # no work without asking
        wait_until(lambda: not os.path.exists(path), "the end of the lease")
        with open(f"/proc/{started.pid}/maps", encoding="ascii") as maps:
            self.assertNotIn("/dev/shm", maps.read())
        self.assertGreater(ask_statistics(started.pid)["sequence"], sequence)
        self.assertEqual(started.end(), 0)

    def test_made_anew_if_unlinked(self):
        started = self.start("crowd", "3")
        started.wait_for_line("ready")
        ask_statistics(started.pid)
        os.unlink(shared_file(started.pid, "stats"))
        self.assertEqual(ask_statistics(started.pid)["alive"], 3)
        self.assertEqual(started.end(), 0)

    def test_what_lies_there_is_not_touched(self):
        """Something of that name from before: a link is replaced, never followed."""
        target = os.path.join(self.scratch, "target")
        with open(target, "w", encoding="ascii") as file:
            file.write("precious")
        started = self.start("crowd", "3")
        started.wait_for_line("ready")
        os.symlink(target, shared_file(started.pid, "stats"))
        queue(started.pid, ASK_STATISTICS)
        path = shared_file(started.pid, "stats")
        wait_until(lambda: not os.path.islink(path) and os.path.exists(path), "the file")
        with open(target, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")
        self.assertEqual(started.end(), 0)

    def test_of_a_killed_process(self):
        """Its file stays; whoever asks is told that it has ended, and the next one with its number replaces the file."""
        def stats(pid):
            return subprocess.run([LAUNCHER, "stats", str(pid)], capture_output=True, text=True, timeout=60, check=False)

        killed = self.start("crowd", "3")
        killed.wait_for_line("ready")
        ask_statistics(killed.pid)
        killed.process.kill()
        killed.process.wait()
        path = shared_file(killed.pid, "stats")
        self.assertTrue(os.path.exists(path))
        asked = stats(killed.pid)
        self.assertEqual((asked.returncode, asked.stdout, asked.stderr.count("\n")), (66, "", 1), asked)
        started = self.start("crowd", "5")
        started.wait_for_line("ready")
        shutil.copy(path, shared_file(started.pid, "stats"))
        asked = stats(started.pid)
        self.assertRegex(asked.stdout, r"(?m)^alive +5$")
        self.assertEqual(started.end(), 0)
        self.assertFalse(os.path.exists(shared_file(started.pid, "stats")))

    def test_a_child_leaves_its_parents_file(self):
        """The child of a fork ends: the file is its parent's."""
        started = self.start("forks")
        started.wait_for_line("ready")
        ask_statistics(started.pid)
        started.process.stdin.write(b"fork\n")
        started.process.stdin.flush()
        started.wait_for_line("ended")
        self.assertTrue(os.path.exists(shared_file(started.pid, "stats")))
        self.assertEqual(started.end(), 0)
        self.assertFalse(os.path.exists(shared_file(started.pid, "stats")))


class Summary(Case):
    WAYS = ("exit", "_exit", "_Exit", "quick_exit", "syscall", "pthread_exit", "return", "exit_in_thread",
            "_exit_in_thread", "fork")

    def run_program(self, *arguments, stats="1"):
        started = self.start(*arguments, COSHIM_STATS=stats, COSHIM_WORKERS="1")
        return started.process.wait(timeout=60), started.errors(), started.pid

    def test_every_orderly_end(self):
        for way in self.WAYS:
            with self.subTest(way=way):
                status, errors, pid = self.run_program("exits", way)
                self.assertEqual(status, 0)
                self.assertEqual(len(re.findall(r"statistics of process (\d+)", errors)), 1, errors)
                self.assertIn(f"coshim: statistics of process {pid} (exits) after ", errors)
                self.assertRegex(errors, r"threads: 24 created, \d+ alive at the peak, \d+ now\n")
                self.assertRegex(errors, r"kernel threads: \d+ at the peak, of them \d+ workers\n")
                for call in ("flock", r"read \(system call, seen by no hook\)", "computing"):
                    counted = re.search(rf"\n\S+\s+{call}: (\d+) of (\d+), (\d+)\.(\d+)s\n", errors)
                    self.assertTrue(counted, errors)
                    self.assertGreaterEqual(int(counted.group(1)), 1, errors)
                    self.assertGreater(float(f"{counted.group(3)}.{counted.group(4)}"), 0)
                self.assertTrue(all(line.startswith("coshim: ") for line in errors.splitlines()), errors)

    def test_not_when_killed(self):
        status, errors, _ = self.run_program("exits", "signal")
        self.assertEqual((status, errors), (-signal.SIGTERM, ""))

    def test_not_unless_asked(self):
        self.assertEqual(self.run_program("exits", "exit", stats="0")[1], "")

    def test_not_without_threads(self):
        self.assertEqual(self.run_program("no_threads")[:2], (0, ""))

    def test_into_the_log(self):
        log = os.path.join(self.scratch, "log")
        started = self.start("exits", "exit", COSHIM_STATS="1", COSHIM_LOG_PATH=log)
        self.assertEqual(started.process.wait(timeout=60), 0)
        self.assertEqual(started.errors(), "")
        with open(log, encoding="utf-8") as file:
            self.assertIn("statistics of process", file.read())


if __name__ == "__main__":
    if not LIBRARY:
        sys.exit("COSHIM_TEST_LIBRARY and COSHIM_TEST_PROGRAMS are not set")
    unittest.main(verbosity=2)

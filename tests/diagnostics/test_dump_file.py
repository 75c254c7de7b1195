#!/usr/bin/env python3
"""Where dumps go: files, their modes, links, several dumps; and that none of it exists before it is asked for."""

import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

from diagnostics import (ASK_DUMP_TEXT, DUMP_SIGNAL, LIBRARY, Program, kernel_threads, program, queue, shared_file,
                         wait_until)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class DumpFile(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.scratch = directory.name

    def start(self, count="20", **environment):
        started = Program(LIBRARY, [program("crowd"), count], self.scratch, **environment)
        self.addCleanup(started.__exit__)
        started.wait_for_line("ready")
        return started

    def finish(self, started):
        self.assertEqual(started.end(), 0)

    def test_nothing_before_it_is_asked_for(self):
        started = self.start()
        hidden = {"coshim/monitor", "coshim/saver"}
        names = set(kernel_threads(started.pid).values())
        self.assertFalse({name for name in names if name.startswith("coshim/") and not name[7:].isdigit()} - hidden)
        self.assertFalse(os.path.exists(started.dump_path))
        for suffix in ("dump", "dump.part", "stats"):
            self.assertFalse(os.path.exists(shared_file(started.pid, suffix)))
        with open(f"/proc/{started.pid}/maps", encoding="ascii") as maps:
            self.assertNotIn("/dev/shm", maps.read())
        self.finish(started)
        self.assertEqual(started.errors(), "")
        self.assertEqual(os.listdir(self.scratch), ["stderr"])

    def test_no_file_is_opened_before_it_is_asked_for(self):
        """As the kernel sees it: nothing of the diagnostics' is opened or mapped, no thread of theirs made, in a whole life."""
        if shutil.which("strace") is None:
            self.skipTest("strace is not installed")
        trace = os.path.join(self.scratch, "trace")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_")}
        traced = subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=file,process,prctl", "-E", f"LD_PRELOAD={LIBRARY}",
                                 "-E", f"COSHIM_DUMP_PATH={self.scratch}/dump", program("crowd"), "20"], env=environment, input=b"\n",
                                capture_output=True, timeout=60, check=False)
        text = read(trace)
        if "PTRACE" in traced.stderr.decode() and "ready" not in traced.stdout.decode():
            self.skipTest("strace may not trace here")
        self.assertEqual(traced.returncode, 0, traced.stderr)
        self.assertIn("coshim/monitor", text)
        # The monitor's own question, before it takes a processor from a worker (slow ones, here under a tracer): whether
        # the worker only lacks CPU. That is scheduling, and no diagnosis.
        text = re.sub(r'"/proc/self/task/\d+/syscall"', "", text)
        for word in ("/dev/shm", self.scratch, "coshim/dump", "/proc/self/task", ".debug"):
            self.assertNotIn(word, text)

    def test_private_mode_whatever_the_umask(self):
        before = os.umask(0)
        try:
            started = self.start()
        finally:
            os.umask(before)
        started.dump()
        self.assertEqual(stat.S_IMODE(os.stat(started.dump_path).st_mode), 0o600)
        self.finish(started)

    def test_text_dumps_follow_each_other(self):
        started = self.start()
        started.dump()
        started.dump()
        text = read(started.dump_path)
        self.assertEqual(text.count("=== coshim"), 2)
        self.assertEqual(text.count("=== end of dump ==="), 2)
        self.assertTrue(text.startswith("=== coshim"))
        self.finish(started)

    def test_json_dumps_are_files_of_their_own(self):
        started = self.start(COSHIM_DUMP_FORMAT="json")
        paths = [started.dump_path, started.dump_path + ".1", started.dump_path + ".2"]

        def whole(path):
            try:
                return json.loads(read(path))
            except (OSError, ValueError):
                return None

        for path in paths:
            os.kill(started.pid, DUMP_SIGNAL)
            self.assertTrue(wait_until(lambda: whole(path), path)["complete"])
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(sorted(os.listdir(self.scratch)), ["dump", "dump.1", "dump.2", "stderr"])
        self.finish(started)

    def test_pid_in_the_name(self):
        started = self.start(COSHIM_DUMP_PATH=os.path.join(self.scratch, "server.%p.dump"))
        started.dump(os.path.join(self.scratch, f"server.{started.pid}.dump"))
        self.finish(started)

    def refused(self, path):
        """The dump goes to stderr, with one line that says why."""
        started = self.start(COSHIM_DUMP_PATH=path)
        os.kill(started.pid, DUMP_SIGNAL)
        wait_until(lambda: "=== end of dump ===" in started.errors(), "the dump on stderr")
        lines = started.errors().splitlines()
        self.assertRegex(lines[0], r"^coshim: error: COSHIM_DUMP_PATH: can't write to ")
        self.assertTrue(lines[1].startswith("=== coshim"))
        self.finish(started)

    def test_links_are_not_followed(self):
        target = os.path.join(self.scratch, "target")
        with open(target, "w", encoding="ascii") as file:
            file.write("precious")
        os.symlink(target, os.path.join(self.scratch, "link"))
        self.refused(os.path.join(self.scratch, "link"))
        self.assertEqual(read(target), "precious")

    def test_not_into_a_pipe_or_directory(self):
        fifo = os.path.join(self.scratch, "fifo")
        os.mkfifo(fifo)
        self.refused(fifo)
        self.refused(self.scratch)
        self.refused(os.path.join(self.scratch, "missing", "dump"))

    def test_full_device_and_file_size_limit(self):
        self.refused("/dev/full")
        # Where a file may not grow: the dump is cut, one line says so, and SIGXFSZ does not end the program.
        started = self.start("200", COSHIM_DUMP_FULL="1")
        resource.prlimit(started.pid, resource.RLIMIT_FSIZE, (8192, 8192))
        os.kill(started.pid, DUMP_SIGNAL)
        wait_until(lambda: "could not be written to its end" in started.errors(), "the line about it")
        self.assertEqual(os.path.getsize(started.dump_path), 8192)
        self.finish(started)

    def test_stderr_on_a_full_device(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_")}
        environment["LD_PRELOAD"] = LIBRARY
        with open("/dev/full", "wb") as full, subprocess.Popen([program("crowd"), "20"], env=environment, stdin=subprocess.PIPE,
                                                               stdout=subprocess.PIPE, stderr=full) as process:
            process.stdout.readline()
            os.kill(process.pid, DUMP_SIGNAL)
            time.sleep(0.2)
            self.assertEqual(process.communicate(b"\n", 60)[0], b"")
            self.assertEqual(process.returncode, 0)

    def test_rotated_away(self):
        """As logrotate(8) moves a file: the next dump begins a new one."""
        started = self.start()
        first = started.dump()
        os.rename(started.dump_path, started.dump_path + ".1")
        started.dump()
        self.assertEqual(read(started.dump_path + ".1"), first)
        self.assertEqual(read(started.dump_path).count("=== coshim"), 1)
        self.assertEqual(stat.S_IMODE(os.stat(started.dump_path).st_mode), 0o600)
        self.finish(started)

    def test_many_signals_at_once(self):
        """Whole dumps, one at least after the last signal."""
        started = self.start("2000", COSHIM_DUMP_FULL="1")
        for _ in range(10):
            os.kill(started.pid, DUMP_SIGNAL)
        marker = time.time()
        wait_until(lambda: os.path.exists(started.dump_path) and read(started.dump_path).endswith("=== end of dump ===\n"), "a dump")
        time.sleep(0.5)
        text = read(started.dump_path)
        self.assertGreaterEqual(text.count("=== coshim"), 1)
        for dump in text.split("=== end of dump ===\n")[:-1]:
            self.assertTrue(dump.startswith("=== coshim"))
            self.assertEqual(len(re.findall(r"\nthread \d+ ", dump)), 2000)
        self.assertGreaterEqual(os.path.getmtime(started.dump_path), marker - 1)
        self.finish(started)

    def test_not_into_what_it_may_not_write(self):
        if os.getuid() == 0:
            self.skipTest("root may write everywhere")
        os.chmod(self.scratch, 0o500)
        self.addCleanup(os.chmod, self.scratch, 0o700)
        self.refused(os.path.join(self.scratch, "dump"))

    def test_stderr_without_a_path(self):
        started = self.start(COSHIM_DUMP_PATH=None)
        os.kill(started.pid, DUMP_SIGNAL)
        wait_until(lambda: "=== end of dump ===" in started.errors(), "the dump on stderr")
        self.finish(started)

    def test_stderr_whose_reader_is_gone(self):
        """No SIGPIPE for the program."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_")}
        environment["LD_PRELOAD"] = LIBRARY
        process = subprocess.Popen([program("crowd"), "20"], env=environment, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.stdout.readline()
            process.stderr.close()
            os.kill(process.pid, DUMP_SIGNAL)
            wait_until(lambda: "coshim/dump" not in kernel_threads(process.pid).values(), "the end of the dump")
            time.sleep(0.1)
            process.stdin.write(b"\n")
            process.stdin.flush()
            self.assertEqual(process.wait(60), 0)
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def test_asked_for_in_shared_memory(self):
        started = self.start()
        path = shared_file(started.pid, "dump")
        queue(started.pid, ASK_DUMP_TEXT)
        wait_until(lambda: os.path.exists(path), path)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertTrue(read(path).endswith("=== end of dump ===\n"))
        os.unlink(path)
        self.assertFalse(os.path.exists(path + ".part"))
        self.finish(started)

    def test_another_signal(self):
        # SIGUSR1 kills a program that has no handler: so it is seen that ours is there, and named by the variable.
        started = self.start(COSHIM_DUMP_SIGNAL="USR1")
        os.kill(started.pid, signal.SIGUSR1)
        wait_until(lambda: os.path.exists(started.dump_path) and "end of dump" in read(started.dump_path), "the dump")
        self.finish(started)


if __name__ == "__main__":
    if not LIBRARY:
        sys.exit("COSHIM_TEST_LIBRARY and COSHIM_TEST_PROGRAMS are not set")
    unittest.main(verbosity=2)

#!/usr/bin/env python3
"""What the dump says: states, reasons, holders, deadlocks, backtraces, as text and as JSON."""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import unittest

import schema
from diagnostics import ASK_DUMP_TEXT, ASK_DUMP_TEXT_FULL, LIBRARY, Program, kernel_position, program, wait_until

LAUNCHER = os.environ.get("COSHIM_TEST_LAUNCHER", "")
SOURCE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(SOURCE, "../../docs/dump.schema.json"), encoding="utf-8") as schema_file:
    SCHEMA = json.load(schema_file)

# Function of waits.c: (state, wait kind, a word of the text dump)
WAITS = {
    "hold_locks": ("parked", "sleep", "sleeping"),
    "wait_for_mutex": ("parked", "mutex", "waiting for mutex"),
    "wait_for_condition": ("parked", "condition", "waiting for condition"),
    "wait_to_read_lock": ("parked", "rwlock_read", "waiting to read-lock rwlock"),
    "wait_to_write_lock": ("parked", "rwlock_write", "waiting to write-lock rwlock"),
    "wait_at_barrier": ("parked", "barrier", "waiting at barrier"),
    "wait_for_semaphore": ("parked", "semaphore", "waiting for semaphore"),
    "wait_to_join": ("parked", "join", "joining thread"),
    "wait_for_connection": ("parked", "accept", "waiting for a connection on descriptor"),
    "wait_to_receive": ("parked", "readable", "waiting to read descriptor"),
    "wait_for_pipe": ("parked", "readable", "waiting to read descriptor"),
    "wait_in_poll": ("parked", "poll", "polling 2 descriptors"),
    "wait_in_kernel": ("blocked", "call", "in the kernel in flock"),
    "wait_unhooked": ("blocked", "call", "in the kernel in read"),
    "compute": ("running", None, "running"),
    "end": ("ended", None, "ended"),
}


def line_of(file, text):
    with open(os.path.join(SOURCE, "programs", file), encoding="utf-8") as source:
        return next(number for number, line in enumerate(source, 1) if text in line)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.scratch = directory.name

    def start(self, *arguments, ready="ready", **environment):
        started = Program(LIBRARY, [program(arguments[0]), *arguments[1:]], self.scratch, **environment)
        self.addCleanup(started.__exit__)
        if ready:
            started.wait_for_line(ready)
        return started

    def checked_json(self, started, **options):
        dump = started.dump_json(**options)
        schema.check(dump, SCHEMA)
        return dump


class Waits(Case):
    def start_waits(self, workers, mode):
        started = self.start("waits", ready=None, COSHIM_WORKERS=str(workers), COSHIM_STACK_MODE=mode,
                             COSHIM_STACK_IDLE="50ms")
        port = int(started.process.stdout.readline())
        started.wait_for_line("ready")
        return started, port

    def check(self, workers, mode):
        started, port = self.start_waits(workers, mode)
        # Main says "ready" just before it reads.
        wait_until(lambda: kernel_position(started.pid).startswith("0 "), "main's read")
        dump = self.checked_json(started)
        by_start = {thread["start"]["function"]: thread for thread in dump["threads"] if thread["id"] != 0}
        self.assertEqual(set(by_start), set(WAITS))
        holder = by_start["hold_locks"]
        self.assertEqual(holder["name"], "holder")
        for function, (state, wait, _) in WAITS.items():
            thread = by_start[function]
            self.assertEqual(thread["state"], state, thread)
            self.assertEqual(thread.get("wait", {}).get("kind"), wait, thread)
            if state == "ended":
                continue
            frames = dump["backtraces"][thread["backtrace"]]["frames"]
            named = [frame.get("function") for frame in frames]
            self.assertIn(function, named, thread)
            frame = frames[named.index(function)]
            self.assertTrue(frame["file"].endswith("programs/waits.c"), frame)
            self.assertGreater(thread["stack"]["size"], 0)
        for function in ("wait_for_mutex", "wait_to_read_lock", "wait_to_join"):
            wait = by_start[function]["wait"]
            self.assertEqual((wait["holder_tid"], wait["holder_id"], wait["holder_name"]),
                             (holder["tid"], holder["id"], "holder"))
        self.assertEqual(holder["waiters"], 3)
        self.assertEqual(by_start["wait_to_write_lock"]["wait"]["readers"], 1)
        received = by_start["wait_to_receive"]["wait"]["descriptors"][0]
        self.assertEqual((received["kind"], received["peer"]), ("tcp", f"127.0.0.1:{port}"))
        self.assertEqual(by_start["wait_for_pipe"]["wait"]["descriptors"][0]["kind"], "pipe")
        polled = by_start["wait_in_poll"]["wait"]
        self.assertEqual((polled["polled"], [entry["kind"] for entry in polled["descriptors"]]), (2, ["tcp", "tcp"]))
        self.assertTrue(polled["timed"])
        self.assertEqual(by_start["wait_in_kernel"]["wait"]["call"], "flock")
        self.assertEqual(by_start["wait_unhooked"]["wait"]["call"], "read")
        self.assertGreater(by_start["compute"]["cpu_nanoseconds"], by_start["wait_for_pipe"]["cpu_nanoseconds"])
        calls = {(call["name"], call["kind"]): call for call in dump["blocked_calls"]}
        # What no region announces is noticed where others wait for the processor.
        unannounced = [("read", "unhooked"), ("computing", "computing")] if workers == 1 else []
        for expected in [("flock", "region"), *unannounced]:
            self.assertIn(expected, calls)
            self.assertGreaterEqual(calls[expected]["blocked"], 1, calls[expected])
        main = next(thread for thread in dump["threads"] if thread["tid"] == started.pid)
        self.assertEqual((main["state"], main["wait"]["call"]), ("blocked", "read"))

        text = started.dump()
        for function, (_, _, words) in WAITS.items():
            block = next(b for b in text.split("\n\n") if f"started in {function}+" in b)
            self.assertIn(words, block.split("\n")[0])
        line = line_of("waits.c", "recv(connected")
        self.assertRegex(text, rf"wait_to_receive\+0x[0-9a-f]+ at \S*programs/waits.c:({line}|{line + 1}) \(waits\)")
        self.assertEqual(started.end(), 0)

    def test_one_worker(self):
        self.check(1, "private")

    def test_four_workers(self):
        self.check(4, "private")

    def test_elastic_stacks(self):
        self.check(2, "elastic")


class Deadlock(Case):
    def check(self, name, named=True):
        started = self.start(name)
        dump = self.checked_json(started)
        threads = {thread["tid"]: thread for thread in dump["threads"]}
        found = []
        for deadlock in dump["deadlocks"]:
            members = {threads[part["tid"]]["name"]: (part["waits_for"], threads[part["holder_tid"]]["name"])
                       for part in deadlock}
            self.assertEqual(len({part["object"] for part in deadlock}), len(deadlock), "two different locks")
            found.append(members)
        main = threads[started.pid]["name"]
        self.assertIn({"alice": ("mutex", "bob"), "bob": ("mutex", "alice")}, found)
        self.assertIn({"carol": ("mutex", main), main: ("rwlock_read", "carol")}, found)
        self.assertEqual(len(found), 2)
        behind = next(thread for thread in dump["threads"] if thread["name"] == "behind")
        self.assertNotIn("deadlock", behind)
        self.assertEqual(behind["wait"]["holder_name"], "alice")

        text = started.dump()
        pair = re.search(r"DEADLOCK: .*\n  thread \d+ \(tid (\d+), alice\): waiting for mutex (0x[0-9a-f]+) held by "
                         r"thread \d+ \(tid (\d+), bob\).*\n  thread \d+ \(tid (\d+), bob\): waiting for mutex "
                         r"(0x[0-9a-f]+) held by thread \d+ \(tid (\d+), alice\)", text)
        self.assertTrue(pair, text)
        alice, first, bob, other_bob, second, other_alice = pair.groups()
        self.assertEqual((alice, bob), (other_alice, other_bob))
        self.assertNotEqual(first, second)
        self.assertEqual("take_first_then_second+0x" in text, named)
        started.end()
        return text

    def test_named_with_locks_and_owners(self):
        text = self.check("deadlock")
        line = line_of("deadlock.c", "take_first_then_second(void") + 4
        self.assertRegex(text, rf"take_first_then_second\+0x[0-9a-f]+ at \S*deadlock.c:{line} ")

    def test_line_tables_of_dwarf_4(self):
        text = self.check("deadlock_dwarf4")
        line = line_of("deadlock.c", "take_first_then_second(void") + 4
        self.assertRegex(text, rf"take_first_then_second\+0x[0-9a-f]+ at \S*deadlock.c:{line} ")

    def test_stripped_gives_module_and_offset(self):
        text = self.check("deadlock_stripped", named=False)
        self.assertRegex(text, r"started in deadlock_stripped\+0x[0-9a-f]+\n")
        self.assertRegex(text, r"#\d+ 0x[0-9a-f]+ deadlock_stripped\+0x[0-9a-f]+\n")


class Names(Case):
    def test_the_launcher_takes_cpp_names_apart(self):
        started = self.start("templates")
        for options in ([], ["--json"]):
            said = subprocess.run([LAUNCHER, "dump", *options, str(started.pid)], capture_output=True, text=True, timeout=60, check=True)
            self.assertRegex(said.stdout, r"Waiter<std::.*string<.*>, 7>::operator\(\)\(std::.*const&, std::pair<")
            self.assertRegex(said.stdout, r"main::\{lambda\(\)#1\}")
            self.assertNotIn("_ZN", said.stdout)
            if options:
                schema.check(json.loads(said.stdout), SCHEMA)
        self.assertEqual(started.end(), 0)


class Crowd(Case):
    COUNT = 20000

    def test_alike_share_a_block(self):
        started = self.start("crowd", str(self.COUNT))
        text = started.dump()
        groups = re.findall(r"\n(\d+) threads: (.*)\n  started in (\w+)", text)
        self.assertEqual(sorted((int(count), start) for count, _, start in groups),
                         [(self.COUNT // 2, "sleep_long"), (self.COUNT // 2, "wait_in_one")])
        self.assertLess(len(text), 20000)
        full = started.dump_shared(ASK_DUMP_TEXT_FULL)
        self.assertEqual(len(re.findall(r"\nthread \d+ ", full)), self.COUNT)
        dump = self.checked_json(started)
        self.assertEqual(len([thread for thread in dump["threads"] if thread["id"] != 0]), self.COUNT)
        self.assertLess(len(dump["backtraces"]), 50)
        self.assertEqual(started.end(), 0)

    def test_full_by_the_environment(self):
        started = self.start("crowd", "200", COSHIM_DUMP_FULL="1")
        self.assertEqual(len(re.findall(r"\nthread \d+ ", started.dump())), 200)
        self.assertEqual(started.end(), 0)

    def test_while_all_workers_compute(self):
        started = self.start("crowd", "50", "compute", COSHIM_WORKERS="2")
        text = started.dump()
        self.assertRegex(text, r"#0 0x[0-9a-f]+ compute\+0x")
        self.assertEqual(len(re.findall(r"#\d+ 0x[0-9a-f]+ wait_in_one\+0x", text)), 1)
        started.process.kill()

    def test_moving_threads(self):
        """While everything changes, dumps are whole, and nothing is called a deadlock."""
        started = self.start("busy", ready="ready")
        for _ in range(10):
            dump = self.checked_json(started)
            self.assertEqual(dump["deadlocks"], [])
            text = started.dump_shared(ASK_DUMP_TEXT)
            self.assertTrue(text.endswith("=== end of dump ===\n"))
        self.assertEqual(started.end(), 0)

    def test_out_of_memory(self):
        """The program has used up its address space: the dump comes all the same, if shorter."""
        started = self.start("crowd", "300")
        with open(f"/proc/{started.pid}/statm", encoding="ascii") as statm:
            used = int(statm.read().split()[0]) * 4096
        resource.prlimit(started.pid, resource.RLIMIT_AS, (used, used))
        text = started.dump()
        self.assertIn("300 alive", text)
        self.assertRegex(text, r"thread 1 \(tid \d+\): parked, waiting for condition")
        self.assertEqual(started.end(), 0)


if __name__ == "__main__":
    if not LIBRARY:
        sys.exit("COSHIM_TEST_LIBRARY and COSHIM_TEST_PROGRAMS are not set")
    unittest.main(verbosity=2)

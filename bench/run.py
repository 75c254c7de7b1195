#!/usr/bin/env python3
"""Measures ordinary pthread programs natively and under the shim in one run, in turn (native, shim, bound, native, shim, ...),
takes medians, and prints ratios with the goals beside them. docs/performance.md explains each figure.

The measured program is pinned to one core (which makes the shim use one worker) and the load client to another. Costs
are CPU time of the measured process, which other load on the machine disturbs less than elapsed time. Run it on a
machine that does nothing else: the kernel's own memory is read system-wide.

Status 0: all was measured; 1: a measurement failed, or --check was given and a goal was not met; 2: wrong usage.
"""
import argparse
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True  # nothing is left in the source tree

import idle
import save
from measure import Disturbed, Failed, MemoryGrowth, Programs
from table import Goal, Table

SECTIONS = ("switch", "stacks", "create", "mutex", "condition", "memory", "idle", "save", "echo", "churn")
SPARE_DESCRIPTORS = 64  # beyond one a connection: the listener, the shim's own, standard streams

MEMORY_ATTEMPTS = 5

# Rows of single operations: section, mode of bench/micro, name, goals for CPU time, count in the --quick form.
MICRO = (
    ("switch", "switch", "switch (sched_yield, two threads)", (Goal("bare", 3),), 200000),
    ("switch", "semaphore", "switch (semaphore, there and back)", (), 100000),
    ("create", "create", "create + join, one at a time", (Goal("native", 1 / 30, "at least 30x faster than native"),), 10000),
    ("create", "create-wave", "create + join, waves of 100", (), 10000),
    ("mutex", "mutex", "mutex lock + unlock, uncontended", (Goal("native", 1.3),), 5000000),
    ("mutex", "contended", "mutex handed over, 4 threads", (), 40000),
    ("condition", "condition", "condition hand-over", (), 100000),
)


class Bench:
    def __init__(self, options, programs):
        self.options, self.programs, self.table = options, programs, Table()
        self.runs = ["native"] if options.native_only else ["native", "shim"]

    def repeated(self, what, runs, measure):
        """Calls `measure(run)` for each run in turn, repeatedly: {run: [result, ...]}. A run that fails is left out from
        then on, and said so."""
        results, failed = {run: [] for run in runs}, set()
        for _ in range(self.options.repetitions):
            for run in runs:
                if run in failed:
                    continue
                try:
                    results[run].append(measure(run))
                except Failed as error:
                    failed.add(run)
                    results[run] = []
                    self.table.failed(f"{what}, {run}", error)
        return results

    def rows_of(self, results, rows):
        """`rows`: (name, unit, key of each result, goals)."""
        for name, unit, key, goals in rows:
            self.table.row(name, unit, {run: [result[key] for result in list_ if key in result] for run, list_ in results.items()},
                           goals)

    # --- single operations ---

    def run_micro(self):
        chosen = [row for row in MICRO if row[0] in self.options.only]
        if chosen:
            self.table.section("Single operations; bound: the bare register swap with FS-base write")
        for section, mode, name, goals, quick_count in chosen:
            def measure(run, section=section, mode=mode, count=quick_count):
                if run == "bare":
                    arguments = ["micro", "bare"]
                else:
                    arguments = ["micro", mode, *([count] if self.options.quick else [])]
                # On two cores two threads need not switch at all: that section is pinned in any case.
                role = "first" if section == "switch" else "server"
                with self.programs.start(arguments, run, role) as program:
                    cpu, wall = map(float, program.read_line(120).split())
                    return {"cpu": cpu, "wall": wall}
            runs = self.runs + (["bare"] if section == "switch" else [])
            self.rows_of(self.repeated(name, runs, measure),
                         [(name + ": CPU", "ns", "cpu", goals), ("  elapsed", "ns", "wall", ())])

    # --- stack modes ---

    def run_stacks(self):
        self.table.section("A switch by the depth of the stack, both threads on one shared stack")
        count = 200000 if self.options.quick else 1000000
        for size in (64, 512, 2048, 8192):
            def measure(run, size=size):
                kind = "copy" if run == "copy" else "yield"
                with self.programs.start(["stack_switch", kind, size, count], run, "first") as program:
                    return {"cpu": float(program.read_line(120))}
            results = self.repeated(f"switch, {size} bytes", ["private", "shared", "copy"], measure)
            if not all(results.values()):
                continue
            middle = {run: statistics.median(result["cpu"] for result in list_) for run, list_ in results.items()}
            goal = Goal("bare", 1, "at most the private switch + 1.5x the copies")
            self.rows_of({"shim": results["shared"], "bare": [{"cpu": middle["private"] + 1.5 * middle["copy"]}]},
                         [(f"switch, {size} bytes, shared", "ns", "cpu", (goal,))])
            self.rows_of({"shim": results["private"]}, [("  private", "ns", "cpu", ())])
            self.rows_of({"bare": results["copy"]}, [("  the bytes copied twice", "ns", "cpu", ())])

    # --- servers ---

    def server(self, run):
        program = self.programs.start(["echo_epoll" if run == "epoll" else "echo_threads"], run)
        try:
            return program, int(program.read_line().removeprefix("listening on 127.0.0.1:"))
        except BaseException:
            program.__exit__()
            raise

    def loaded(self, run, mode, *load):
        """A server under load: what a message costs, and what the client saw."""
        server, port = self.server(run)
        with server, self.programs.start(["echo_load", mode, port, *load], role="client") as client:
            client.expect("connected")
            threads, memory = server.threads(), server.memory()
            before = server.cpu_ns()
            client.say()
            count, seconds, p50, p99 = map(float, client.read_line(self.options.seconds + 60).split())
            cpu = server.cpu_ns() - before
            return {"rate": count / seconds, "cpu": cpu / count / 1000, "busy": cpu / seconds / 1e9 * 100, "p50": p50, "p99": p99,
                    "threads": threads, "memory": sum(memory.values()) / 1024}

    def run_echo(self):
        for count in self.options.connections:
            self.table.section(f"Echo of 64 bytes, connections: {count:,}; bound: a hand-written epoll loop")
            if count + SPARE_DESCRIPTORS > resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
                self.table.failed(f"echo, {count} connections", "needs a higher hard limit of open files (ulimit -Hn)")
                continue
            in_flight = min(count, self.options.in_flight or count)
            results = self.repeated(f"echo, {count} connections", self.runs + ["epoll"],
                                    lambda run: self.loaded(run, "load", count, self.options.seconds, in_flight))
            goals = (Goal("native", 0.75), Goal("epoll", 1.25)) if count == 1000 else ()
            self.rows_of(results, [(f"echo {count}: server's CPU per message", "us", "cpu", goals), ("  messages", "1/s", "rate", ()),
                                   ("  server's core busy", "%", "busy", ()), ("  latency, median", "us", "p50", ()),
                                   ("  latency, p99", "us", "p99", ()), ("  kernel threads", "", "threads", ()),
                                   ("  RSS, page tables, kernel stacks", "KiB", "memory", ())])

    def run_churn(self):
        for in_flight in (1, 100):
            name = f"churn, {in_flight} at a time"
            self.table.section(f"Connect, one message, close; {in_flight} at a time; bound: a hand-written epoll loop")
            results = self.repeated(name, self.runs + ["epoll"], lambda run: self.loaded(run, "churn", in_flight, self.options.seconds))
            self.rows_of(results, [(name + ": CPU each", "us", "cpu", ()), ("  connections", "1/s", "rate", ()),
                                   ("  latency, median", "us", "p50", ()), ("  latency, p99", "us", "p99", ())])

    # --- memory ---

    def idle_connections(self, run, count):
        """What a connection adds, all of it: the sockets of both ends, too."""
        server, port = self.server(run)
        with server:
            growth = MemoryGrowth(server)
            with self.programs.start(["echo_load", "hold", port, count], role="client") as client:
                client.expect("connected")
                try:
                    return growth.of_each(count, sockets=2 * count)
                finally:
                    client.say()  # ends it with resets: no TIME_WAIT sockets are left
                    client.process.wait(timeout=30)

    def idle_threads(self, run, count, kind):
        with self.programs.start(["idle_threads", count, kind], run) as program:
            program.expect("ready")
            growth = MemoryGrowth(program)
            program.say()
            program.expect("idle", 120)
            return growth.of_each(count)

    def undisturbed(self, what, measure):
        """Measures again when other programs have interfered; in the end without the kernel's objects."""
        for _ in range(MEMORY_ATTEMPTS):
            try:
                return measure()
            except Disturbed as disturbed:
                why, certain = str(disturbed), disturbed.growth
        self.table.failed(what, f"kernel objects not measured: {why} in each of {MEMORY_ATTEMPTS} attempts")
        return certain

    def run_memory(self):
        count = 2000 if self.options.quick else 4000
        self.table.section(f"Memory of each of {count:,} idle threads: user, page tables, kernel stacks and objects")
        for kind in ("read", "sleep", "condition"):
            what = f"thread blocked in {kind}"
            results = self.repeated(what, self.runs,
                                    lambda run: self.undisturbed(f"{what}, {run}", lambda: self.idle_threads(run, count, kind)))
            self.memory_rows(what, results)
        what = "thread of a connection"
        results = self.repeated(what, self.runs + ["epoll"],
                                lambda run: self.undisturbed(f"{what}, {run}", lambda: self.idle_connections(run, count)))
        self.memory_rows(what, without_sockets(results), (Goal("native", 0.4),))

    def memory_rows(self, name, results, goals=()):
        self.rows_of(results, [(name, "bytes", "all", goals), *((f"  {kind}", "bytes", kind, ())
                               for kind in ("user", "page tables", "kernel stacks", "kernel objects"))])

    def run(self):
        self.run_micro()
        for section in ("stacks", "memory", "echo", "churn"):
            if section in self.options.only:
                getattr(self, "run_" + section)()
        for module in (idle, save):
            if module.__name__ in self.options.only:
                module.run(self)
        self.table.summary()


def without_sockets(results):
    """Takes off what the epoll server needs for the same connections: the sockets of both ends, and the client."""
    sockets = results.pop("epoll")
    middle = {kind: statistics.median(result[kind] for result in sockets if kind in result)
              for kind in set().union(*sockets)}
    return {run: [{kind: result[kind] - middle[kind] for kind in result if kind in middle} for result in list_]
            for run, list_ in results.items()}


def header(options, programs):
    version = None
    if not options.native_only:
        try:  # run as a program, the library prints its version
            version = subprocess.run([programs.library], capture_output=True, text=True, check=False, timeout=10).stdout.partition("\n")[0]
        except OSError as error:
            sys.exit(f"bench/run.py: cannot run {programs.library}: {error.strerror}")
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release(), "libc": " ".join(platform.libc_ver()),
            "shim": version, "settings": programs.settings, "pinned": not options.unpinned, "quick": options.quick,
            "repetitions": options.repetitions, "seconds": options.seconds, "load_average": os.getloadavg()[0]}


def parse_options():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(here, "..", "build"), help="build directory (default: build/)")
    parser.add_argument("--quick", action="store_true", help="a few minutes: one repetition, no 8,000 connections")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas: " + ",".join(SECTIONS))
    parser.add_argument("--native-only", action="store_true", help="leave the shim out")
    parser.add_argument("--unpinned", action="store_true", help="leave the placing to the kernel (and all cores to the shim)")
    parser.add_argument("--repetitions", type=int, help="of each measurement (default 3, with --quick 1)")
    parser.add_argument("--seconds", type=float, help="of each server load (default 4, with --quick 1.5)")
    parser.add_argument("--connections", help="of the echo server (default 1,100,1000,8000, with --quick 1,100,1000)")
    parser.add_argument("--in-flight", type=int, help="echo messages under way (default: one on each connection)")
    parser.add_argument("--set", action="append", default=[], metavar="COSHIM_NAME=VALUE", help="configuration of the shim")
    parser.add_argument("--json", metavar="FILE", help="write all figures, every repetition's too")
    parser.add_argument("--check", action="store_true", help="status 1 if a goal is not met")
    options = parser.parse_args()
    options.repetitions = options.repetitions or (1 if options.quick else 3)
    options.seconds = options.seconds or (1.5 if options.quick else 4)
    connections = options.connections or ("1,100,1000" if options.quick else "1,100,1000,8000")
    try:
        options.connections = [int(count) for count in connections.split(",")]
    except ValueError:
        parser.error("--connections takes numbers, separated by commas")
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(SECTIONS):
        parser.error(f"unknown section {sorted(unknown)[0]}; known: {','.join(SECTIONS)}")
    for setting in options.set:
        if not setting.startswith("COSHIM_") or "=" not in setting:
            parser.error(f"--set takes COSHIM_NAME=VALUE, not {setting}")
    return options


def prepare(options):
    build = os.path.abspath(options.build)
    cores = sorted(os.sched_getaffinity(0))
    if not options.unpinned and len(cores) < 2:
        sys.exit("bench/run.py: needs two cores, one for the server and one for the client; or give --unpinned")
    pins = {"first": cores[0], "server": None, "client": None}
    if not options.unpinned:
        pins.update(server=cores[0], client=cores[1])
    programs = Programs(build, pins, dict(setting.split("=", 1) for setting in options.set))
    if not os.path.exists(os.path.join(build, "bench", "micro")):
        sys.exit(f"bench/run.py: nothing built in {build}: cmake -B build && cmake --build build, or give --build")
    if not options.native_only and not os.path.exists(programs.library):
        sys.exit(f"bench/run.py: no {programs.library}: build it, or give --native-only")
    # The servers inherit the limit; a connection needs a descriptor at each end.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    return programs


def main():
    options = parse_options()
    programs = prepare(options)
    facts = header(options, programs)
    print(", ".join(f"{name} {value}" for name, value in facts.items() if value not in (None, {})), flush=True)
    bench = Bench(options, programs)
    try:
        bench.run()
    finally:
        if options.json:
            bench.table.write_json(options.json, facts)
    goals_missed = any(goal["met"] is False for row in bench.table.rows for goal in row["goals"])
    return 1 if bench.table.failures or (options.check and goals_missed) else 0


if __name__ == "__main__":
    sys.exit(main())

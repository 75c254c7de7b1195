#!/usr/bin/env python3
"""The own tests of libuv and libevent (Debian's source packages), each natively and under the library, and what differs.

    event_loops.py libuv|libevent --lib build/libcoshim.so [--tests 'tcp_*'] [--workers 1,4] [--threads 0,1] [--set NAME=VALUE]

Most tests run their loop in main. With --threads 1 the whole test program, the helper processes included, runs in a
thread that main creates (natively too).
"""

import argparse
import fnmatch
import os
import re
import signal
import subprocess
import sys

from source_package import source_tree

# Takes the place of main (ld(1), --wrap).
IN_THREAD = """
#include <pthread.h>
#include <stdlib.h>
int __real_main(int, char**, char**);
struct call { int count; char **arguments, **environment; };
static void* run(void* argument) {
  struct call* call = argument;
  exit(__real_main(call->count, call->arguments, call->environment));
}
int __wrap_main(int count, char** arguments, char** environment) {
  struct call call = {count, arguments, environment};
  if (!getenv("MAIN_IN_THREAD")) return __real_main(count, arguments, environment);
  pthread_t thread;
  if (pthread_create(&thread, NULL, run, &call)) abort();
  pthread_join(thread, NULL);
  return 111;
}
"""


class Libuv:
    package, directory, target = "libuv1", "libuv1-1.44.2", "uv_run_tests"
    options = ["-DLIBUV_BUILD_TESTS=ON"]
    environment = {"UV_RUN_AS_ROOT": "1"}

    @staticmethod
    def tests(program):
        listed = subprocess.run([program, "--list"], capture_output=True, text=True, env=os.environ | Libuv.environment)
        return [line.split()[0] for line in listed.stdout.splitlines()]  # its helper processes stand behind it

    @staticmethod
    def outcome(code, output):
        if " # SKIP" in output:
            return "skipped"
        return "ok" if code == 0 else "failed"


class Libevent:
    package, directory, target = "libevent", "libevent-2.1.12-stable", "regress"
    options = ["-DEVENT__DISABLE_BENCHMARK=ON", "-DEVENT__DISABLE_SAMPLES=ON", "-DEVENT__LIBRARY_TYPE=STATIC"]
    environment = {}

    @staticmethod
    def tests(program):
        return re.findall(r"^\s+(\S+/\S+)$", subprocess.run([program, "--list-tests"], capture_output=True, text=True).stdout, re.M)

    @staticmethod
    def outcome(code, output):
        if "SKIPPED" in output:
            return "skipped"
        return "ok" if code == 0 else "failed"


SUITES = {"libuv": Libuv, "libevent": Libevent}


def build(suite, tree, work):
    """The test program, from the suite's own CMakeLists.txt."""
    place = os.path.join(work, "build-" + suite.package)
    wrapper = os.path.join(work, "in_thread.o")
    subprocess.run(["gcc", "-O1", "-x", "c", "-c", "-", "-o", wrapper], input=IN_THREAD, text=True, check=True)
    flags = f"-DCMAKE_EXE_LINKER_FLAGS=-Wl,--wrap=main {wrapper} -pthread"
    for command in (["cmake", "-S", tree, "-B", place, "-DCMAKE_BUILD_TYPE=RelWithDebInfo", flags, *suite.options],
                    ["cmake", "--build", place, "-j2", "--target", suite.target]):
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            print(done.stdout[-2000:], done.stderr[-2000:])
            sys.exit(f"{suite.package} does not build")
    found = [os.path.join(place, part, suite.target) for part in ("", "bin")]
    return next(name for name in found if os.path.exists(name))


def end_session(leader):
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stat:
                if int(stat.read().rsplit(")", 1)[1].split()[3]) == leader:
                    os.kill(int(entry), signal.SIGKILL)
        except OSError:
            pass


def run(suite, tree, program, name, environment, limit, output_name):
    """How one test ended, and what it printed."""
    with open(output_name, "wb") as out:  # no pipe: what a test leaves behind might hold it open
        process = subprocess.Popen([program, name], cwd=tree, env=environment, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        code = None
    end_session(process.pid)
    process.wait()
    with open(output_name, encoding="utf-8", errors="replace") as text:
        output = text.read()
    if code is None:
        return "hung", output
    return (f"signal {-code}" if code < 0 else suite.outcome(code, output)), output


def happens_natively(result, run_natively):
    """Some tests are won by whoever is faster: is this one of the results that they have natively?"""
    return any(run_natively() == result for _ in range(10))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--lib", required=True)
    parser.add_argument("--work", default="/var/tmp/coshim-event-loops")
    parser.add_argument("--tests", default="*", help="globs, separated by commas")
    parser.add_argument("--workers", default="1,4")
    parser.add_argument("--threads", default="0,1", help="0: as they are, 1: main in a created thread")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the preloaded runs")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=60)
    options = parser.parse_args()
    suite = SUITES[options.suite]
    os.makedirs(options.work, exist_ok=True)
    tree = source_tree(suite.package, suite.directory, options.work)
    program = build(suite, tree, options.work)
    patterns = options.tests.split(",")
    names = [name for name in suite.tests(program) if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    output = os.path.join(options.work, "output")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_") and k != "LD_PRELOAD"} | suite.environment
    different = 0
    for threads in options.threads.split(","):
        plain = clean | ({"MAIN_IN_THREAD": "1"} if threads == "1" else {})
        where = "in a thread" if threads == "1" else "in main"
        native = {}
        for name in names:
            native[name] = run(suite, tree, program, name, plain, options.timeout, output)[0]
            if native[name] not in ("ok", "skipped"):
                print(f"  natively, {where}, {native[name]}: {name}", flush=True)
        for workers in options.workers.split(","):
            shim = plain | {"LD_PRELOAD": os.path.abspath(options.lib), "COSHIM_WORKERS": workers}
            shim |= dict(setting.split("=", 1) for setting in options.set)
            for _ in range(options.repeat):
                same = 0
                for name in names:
                    result, text = run(suite, tree, program, name, shim, options.timeout, output)
                    if result == native[name]:
                        same += 1
                        continue
                    if happens_natively(result, lambda: run(suite, tree, program, name, plain, options.timeout, output)[0]):
                        print(f"  natively too, {where}, at times {result}: {name}", flush=True)
                        same += 1
                        continue
                    counted = native[name] in ("ok", "skipped")
                    different += counted
                    print(f"  {'DIFFERENT' if counted else 'differs'}: {name}: natively {native[name]}, under the library {result}\n    "
                          + "\n    ".join(text.splitlines()[-8:]), flush=True)
                print(f"{where}, {workers} workers: {same} of {len(names)} tests with the native result", flush=True)
    print(f"{different} differences")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()

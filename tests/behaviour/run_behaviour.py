#!/usr/bin/env python3
"""Runs one behaviour program and judges it.

Without --lib: natively, --repeat times; every run must pass and give the same transcript.
With --lib: once natively, which gives the expected transcript (stdout, stderr, exit status), then --repeat times with
the library preloaded.
"""

import argparse
import os
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time

MOST_KERNEL_THREADS = 24
FEWEST_NATIVE_THREADS = 100
SAMPLE_SECONDS = 0.003
DUMP_SECONDS = 5
SKIPPED = 77  # the program needs a privilege or a kernel that is not there
# The library says so where the kernel lacks what a stack mode needs.
MODE_MISSING = b"stacks stay private"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--lib", help="the library to preload; without it the program runs natively")
    parser.add_argument("--workers", default="1")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a variable of the preloaded runs, e.g. COSHIM_STACK_MODE=elastic")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=60, help="seconds after which a run counts as hung")
    parser.add_argument("--native-args", default="", help="arguments of the native runs")
    parser.add_argument("--shim-args", default="", help="arguments of the preloaded runs")
    parser.add_argument("--expect-exit", type=int, default=0)
    parser.add_argument("--expect-signal", help="the program is to die of this signal, e.g. SEGV")
    parser.add_argument("--many-threads", action="store_true",
                        help=f"at most {MOST_KERNEL_THREADS} kernel threads with the library")
    parser.add_argument("--stderr-differs", action="store_true", help="do not compare stderr (a report is expected)")
    return parser.parse_args()


class Run:
    """One finished run: what it printed, how it ended, the most kernel threads seen; trouble when it hung."""

    def __init__(self, status, output, errors, most_threads, trouble):
        self.status = status
        self.output = output
        self.errors = errors
        self.most_threads = most_threads
        self.trouble = trouble


def limit_resources():
    # The same limits everywhere, so that the transcript of a program that shows them does not depend on the shell.
    for kind, wanted in ((resource.RLIMIT_NOFILE, 4096), (resource.RLIMIT_STACK, 8 << 20)):
        _, hard = resource.getrlimit(kind)
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def clean_environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COSHIM_")}
    kept.pop("LD_PRELOAD", None)
    kept["LC_ALL"] = "C"
    return kept


def shim_environment(arguments, dump_path):
    environment = clean_environment()
    environment["LD_PRELOAD"] = os.path.abspath(arguments.lib)
    environment["COSHIM_WORKERS"] = arguments.workers
    environment["COSHIM_DUMP_SIGNAL"] = "USR2"
    environment["COSHIM_DUMP_PATH"] = dump_path
    environment.update(setting.split("=", 1) for setting in arguments.set)
    # For narrowing a failure down: BEHAVIOUR_COSHIM_LOG=debug reaches the program as COSHIM_LOG=debug.
    for name, value in os.environ.items():
        if name.startswith("BEHAVIOUR_COSHIM_"):
            environment[name[len("BEHAVIOUR_"):]] = value
    return environment


def count_threads(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("Threads:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def kernel_view(pid):
    """What each kernel thread of a hung process is doing."""
    lines = []
    try:
        for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int)[:40]:
            words = []
            for name in ("comm", "wchan", "syscall"):
                try:
                    with open(f"/proc/{pid}/task/{task}/{name}", encoding="ascii", errors="replace") as part:
                        words.append(part.read().strip())
                except OSError:
                    words.append("?")
            lines.append(f"  {task} " + " | ".join(words))
    except OSError:
        pass
    return "\n".join(lines)


def collect_dump(process, dump_path):
    """Asks the library for its dump and waits until the file has stopped growing."""
    os.kill(process.pid, signal.SIGUSR2)
    size, deadline = -1, time.monotonic() + DUMP_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.3)
        now = os.path.getsize(dump_path) if os.path.exists(dump_path) else 0
        if now > 0 and now == size:
            break
        size = now
    if not os.path.exists(dump_path):
        return "no dump was written"
    with open(dump_path, encoding="utf-8", errors="replace") as dump:
        return dump.read()[:60000]


def watch(process, timeout):
    """Waits for the end of the process; returns the most kernel threads seen and whether it ended in time."""
    deadline = time.monotonic() + timeout
    most = 0
    while process.poll() is None:
        most = max(most, count_threads(process.pid))
        if time.monotonic() > deadline:
            return most, False
        time.sleep(SAMPLE_SECONDS)
    return most, True


def stop_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def run_once(arguments, preloaded):
    words = shlex.split(arguments.shim_args if preloaded else arguments.native_args)
    with tempfile.TemporaryDirectory(prefix="behaviour.") as directory:
        dump_path = os.path.join(directory, "dump")
        environment = shim_environment(arguments, dump_path) if preloaded else clean_environment()
        # Files and not pipes: a child that outlives the program can't keep the runner waiting.
        with open(os.path.join(directory, "out"), "w+b") as out, open(os.path.join(directory, "err"), "w+b") as err:
            process = subprocess.Popen([os.path.abspath(arguments.program)] + words, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=err, env=environment, cwd=directory,
                                       start_new_session=True, preexec_fn=limit_resources)
            try:
                most, ended = watch(process, arguments.timeout)
                trouble = None
                if not ended:
                    trouble = f"hangs: no end after {arguments.timeout:g} s\nkernel threads:\n{kernel_view(process.pid)}"
                    if preloaded:
                        trouble += "\ndump:\n" + collect_dump(process, dump_path)
            finally:
                stop_group(process)
            out.seek(0)
            err.seek(0)
            return Run(process.returncode, out.read(), err.read(), most, trouble)


def expected_status(arguments):
    if arguments.expect_signal:
        return -signal.Signals["SIG" + arguments.expect_signal].value
    return arguments.expect_exit


def describe_status(status):
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def judge(arguments, run, oracle):
    """Returns what is wrong with a run, or None. oracle: the run whose transcript is expected, or None."""
    if run.trouble:
        return run.trouble
    if run.status != expected_status(arguments):
        return f"{describe_status(run.status)}, expected {describe_status(expected_status(arguments))}"
    if oracle is None:
        return None
    if run.output != oracle.output:
        return "stdout differs; expected:\n" + oracle.output.decode(errors="replace")
    if not arguments.stderr_differs and run.errors != oracle.errors:
        return "stderr differs; expected:\n" + oracle.errors.decode(errors="replace")
    return None


def judge_threads(arguments, run):
    if arguments.lib and arguments.many_threads and run.most_threads > MOST_KERNEL_THREADS:
        return f"{run.most_threads} kernel threads, at most {MOST_KERNEL_THREADS} expected"
    return None


def leave_if_skipped(run):
    if run.status == SKIPPED:
        print("skipped: the program says that it can't run here")
        sys.exit(SKIPPED)


def fail(number, what, run):
    print(f"FAILED in run {number}: {what}")
    print(f"--- stdout\n{run.output.decode(errors='replace')}--- stderr\n{run.errors.decode(errors='replace')}---")
    sys.exit(1)


def main():
    arguments = parse_arguments()
    for path in (arguments.program, arguments.lib):
        if path and not os.path.exists(path):
            sys.exit(f"run_behaviour.py: {path}: no such file")
    oracle = None
    if arguments.lib:
        oracle = run_once(arguments, preloaded=False)
        leave_if_skipped(oracle)
        wrong = judge(arguments, oracle, None)
        if wrong:
            fail("0 (the native one)", wrong, oracle)
    most = 0
    for number in range(1, arguments.repeat + 1):
        run = run_once(arguments, preloaded=bool(arguments.lib))
        if not arguments.lib:
            leave_if_skipped(run)
        if arguments.set and MODE_MISSING in run.errors:
            print(f"skipped: {run.errors.decode(errors='replace').splitlines()[0]}")
            sys.exit(SKIPPED)
        wrong = judge(arguments, run, oracle) or judge_threads(arguments, run)
        if wrong:
            fail(number, wrong, run)
        most = max(most, run.most_threads)
        oracle = oracle or run
    # Otherwise the limit on kernel threads would prove nothing.
    if not arguments.lib and arguments.many_threads and most < FEWEST_NATIVE_THREADS:
        sys.exit(f"FAILED: natively only {most} threads were seen, {FEWEST_NATIVE_THREADS} expected")
    print(f"passed {arguments.repeat} runs, at most {most} kernel threads")


if __name__ == "__main__":
    main()

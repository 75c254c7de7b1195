#!/usr/bin/env python3
"""The gdb extension in batch mode: a live process and a core file of the deadlock demo, with and without debug information in
the library."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import tool

options = tool.parse(__doc__)
tool.need("gdb")
demo = os.path.join(options.build, "demo_apps/deadlock")
# Functions that its threads wait in (demo_apps/deadlock.c).
WAITING = {"transfer_money": "mutex", "rotate_journal": "mutex", "wait_for_state": "condition", "wait_for_input": "read fd",
           "tick": "sleep"}


def gdb(directory, *arguments):
    command = ["gdb", "-q", "-nx", "-batch", "-iex", f"add-auto-load-safe-path {directory}", "-iex", "set debuginfod enabled off",
               "-ex", "set width 0"]
    result = tool.run(*command, *arguments)
    if "ptrace: Operation not permitted" in result.stderr:
        print("skipped: gdb may not attach here")
        sys.exit(tool.SKIPPED)
    return result


COMMANDS = ["info coroutines", "coroutine 2", "bt", "coroutine apply all bt", "coroutine apply 1 3-4 frame", "coroutine", "coroutine 0",
            "bt 1", "coroutine 77", "coroutine x", "info coroutines ended"]


def check(what, result, names):
    """`names`: the library's own functions have some."""
    out = result.stdout
    for function, wait in WAITING.items():
        row = re.search(rf"^  *\d+ +\d+ +parked +{wait}.*{function}", out, re.M)
        tool.expect(row, f"{what}: no row of {function} in info coroutines", out, result.stderr)
        # In its own backtrace, with a line that only it has.
        tool.expect(re.search(rf"^#\d+ +0x[0-9a-f]+ in {function} ", out, re.M), f"{what}: no frame of {function}", out)
    owner = dict(re.findall(r"^ +(\d+) +(\d+) +parked", out, re.M))
    tool.expect(re.search(rf"^ +1 .*mutex 0x[0-9a-f]+ held by tid {owner['2']}", out, re.M), f"{what}: the lock's owner", out)
    view = out[out.index("[Coroutine 2 "):out.index("\nCoroutine 1 ")]
    tool.expect("rotate_journal" in view and "deadlock.c:" in view and (not names or "coshim_swap_start" in view), f"{what}: bt of one", view)
    tool.expect("transfer_money" not in view and "main ()" not in view, f"{what}: bt of one shows others", view)
    tool.expect(not names or out.count("coshim_swap_start") == 6, f"{what}: coroutine apply all", out)
    # apply puts back what was viewed; 0 goes back to the kernel thread.
    after = out[out.rindex("[Coroutine 2 (tid"):]
    tool.expect(re.search(r"^#0 ", after, re.M), f"{what}: coroutine 0", after)
    for words in ("there is no coroutine 77", "not a coroutine's number: x"):
        tool.expect(words in result.stderr, f"{what}: no line for wrong use", result.stderr)
    tool.expect("Traceback" not in result.stderr + out and "Python Exception" not in result.stderr + out, f"{what}: an exception",
                result.stderr)


def live(directory, library, names):
    environment = tool.clean_environment(LD_PRELOAD=library, COSHIM_STACK_MODE="private")
    with tool.running(demo, environment=environment, stdout=subprocess.PIPE, text=True, cwd=directory) as process:
        for line in process.stdout:  # it says when its threads are about to wait
            if "started" in line:
                break
        wait_until_parked(directory, process.pid)
        commands = [word for command in COMMANDS for word in ("-ex", command)]
        check("live", gdb(directory, "-p", str(process.pid), *commands), names)
        # It goes on undisturbed: gdb wrote nothing.
        tool.expect(process.poll() is None, "the process has ended")
        # A call in the process is the kernel thread's; the view stays.
        again = gdb(directory, "-p", str(process.pid), "-ex", "coroutine 1", "-ex", "print (int)getpid()", "-ex", "coroutine")
        tool.expect(f"= {process.pid}\n[Coroutine 1 " in again.stdout and process.poll() is None, "a call", again.stdout, again.stderr)
        process.send_signal(signal.SIGABRT)
        process.wait()
    return os.path.join(directory, "core")


def running_one(directory, library):
    """Under gdb from the start: a coroutine that runs is shown on its kernel thread, and going on ends the view."""
    result = gdb(directory, "-ex", f"set environment LD_PRELOAD {library}", "-ex", "set environment COSHIM_WORKERS 1", "-ex",
                 "break tick", "-ex", "run", "-ex", "info coroutines", "-ex", "coroutine 5", "-ex", "bt", "-ex", "coroutine 1", "-ex",
                 "coroutine", "-ex", "tbreak sleep", "-ex", "continue", "-ex", "coroutine", "-ex", "info coroutines", "-ex", "kill", demo)
    out = result.stdout
    tool.expect(len(re.findall(r"^ +5 +\d+ +running .*tick", out, re.M)) == 2, "the running one", out, result.stderr)
    tool.expect("[Coroutine 1 " in out and "No coroutine is viewed" in out[out.rindex("[Coroutine 1 "):], "going on", out, result.stderr)


def wait_until_parked(directory, pid):
    tool.until(lambda: gdb(directory, "-p", str(pid), "-ex", "info coroutines parked").stdout.count(" parked ") == len(WAITING),
               "five waiting threads")


def core_pattern_is_plain():
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        return file.read().strip() in ("core", "core.%p")


def main():
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    for stripped in (False, True):
        with tempfile.TemporaryDirectory() as directory:
            for name in ("libcoshim.so", "libcoshim.so-gdb.py"):
                shutil.copy(os.path.join(options.build, name), directory)
            library = os.path.join(directory, "libcoshim.so")
            if stripped:
                subprocess.run(["strip", library], check=True)
            core = live(directory, library, not stripped)
            how = "stripped" if stripped else "with debug information"
            if not stripped:
                running_one(directory, library)
            print(f"live, {how}: as it should be")
            core = next((os.path.join(directory, name) for name in os.listdir(directory) if name.startswith("core")), core)
            if not core_pattern_is_plain() or not os.path.exists(core):
                print("core files go elsewhere here (core_pattern): not looked at")
                continue
            commands = [word for command in COMMANDS for word in ("-ex", command)]
            check("core", gdb(directory, demo, core, *commands), not stripped)
            print(f"core file, {how}: as it should be")


main()

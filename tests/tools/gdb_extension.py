#!/usr/bin/env python3
"""The gdb extension in batch mode, in one stack mode: a live process, a core file of the kernel and one of gcore, of the deadlock demo and of a
recursion with variables on the stack; with and without debug information in the library."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import tool

options = tool.parse(__doc__, ("--mode", "private"))
tool.need("gdb")
demo = os.path.join(options.build, "demo_apps/deadlock")
recursion = os.path.join(options.build, "tests/tools/recursion")
# Functions that its threads wait in (demo_apps/deadlock.c).
WAITING = {"transfer_money": "mutex", "rotate_journal": "mutex", "wait_for_state": "condition", "wait_for_input": "read fd",
           "tick": "sleep"}
MODES = {"private": {}, "elastic": {"COSHIM_STACK_IDLE": "2ms"}, "shared": {"COSHIM_SHARED_STACKS": "1", "COSHIM_WORKERS": "1"}}
ENVIRONMENT = MODES[options.mode] | {"COSHIM_STACK_MODE": options.mode}
ELSEWHERE = "Its stack is saved elsewhere"


def gdb(directory, *arguments):
    command = ["gdb", "-q", "-nx", "-batch", "-iex", f"add-auto-load-safe-path {directory}", "-iex", "set debuginfod enabled off",
               "-ex", "set width 0"]
    result = tool.run(*command, *arguments)
    if "ptrace: Operation not permitted" in result.stderr:
        print("skipped: gdb may not attach here")
        sys.exit(tool.SKIPPED)
    said = result.stdout + result.stderr
    tool.expect("Traceback" not in said and "Python Exception" not in said, "a Python exception", said)
    return result


def all_of(*commands):
    return [word for command in commands for word in ("-ex", command)]


COMMANDS = all_of("info coroutines", "coroutine 2", "bt", "coroutine apply all bt", "coroutine apply 1 3-4 frame", "coroutine", "coroutine 0",
                  "bt 1", "coroutine 77", "coroutine x", "info coroutines ended")


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
    tool.expect((ELSEWHERE in view) == (options.mode != "private"), f"{what}: where the stack is", view)
    tool.expect(not names or out.count("coshim_swap_start") == 6, f"{what}: coroutine apply all", out)
    # apply puts back what was viewed; 0 goes back to the kernel thread.
    after = out[out.rindex("[Coroutine 2 (tid"):]
    tool.expect(re.search(r"^#0 ", after, re.M), f"{what}: coroutine 0", after)
    for words in ("there is no coroutine 77", "not a coroutine's number: x"):
        tool.expect(words in result.stderr, f"{what}: no line for wrong use", result.stderr)


def check_recursion(what, result):
    """Six threads, four calls deep each, and every variable with its own thread's value (recursion.c)."""
    parts = re.split(r"^Coroutine (\d+) ", result.stdout, flags=re.M)[1:]
    found = dict(zip(map(int, parts[::2]), parts[1::2]))
    tool.expect(sorted(found) == list(range(1, 7)), f"{what}: six threads", result.stdout, result.stderr)
    for number, text in found.items():
        tool.expect(re.search(r"^#\d+ .* in run_deep ", text, re.M), f"{what}: the start routine", text)
        for level in range(4):
            frame = re.search(rf"^#\d+ .* in deep \(level={level}, .*\n(?: +.*\n)*", text, re.M)
            for words in (f"number = {level * 100 + number}", 'words = "on the stack', f"canary = {0x12345 + level}"):
                tool.expect(frame and words in frame[0], f"{what}: {words} in thread {number}", text)


RECURSION = all_of("coroutine apply all bt full")


def start(directory, library, *command):
    process = subprocess.Popen(command, env=tool.clean_environment(LD_PRELOAD=library, **ENVIRONMENT), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True, cwd=directory)
    for line in process.stdout:  # it says when its threads are about to wait
        if "started" in line:
            return process
    raise SystemExit("FAILED: it did not start its threads")


def wait_until_parked(directory, pid, count):
    """And until their stacks are where the mode has them."""
    saved = {"private": 0, "elastic": count, "shared": count - 1}[options.mode]

    def reached():
        out = gdb(directory, "-p", str(pid), "-ex", "info coroutines parked", *all_of(*(f"coroutine {i + 1}" for i in range(count)))).stdout
        return len(re.findall(r"^ +\d+ +\d+ +parked ", out, re.M)) == count and out.count(ELSEWHERE) >= saved

    tool.until(reached, f"{count} waiting threads")


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def core_of(directory, program):
    """A core file of the kernel is called `core` here, or core.PID."""
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        if file.read().strip() not in ("core", "core.%p"):
            return None
    found = [name for name in os.listdir(directory) if name == "core" or name == f"core.{program.pid}"]
    return os.path.join(directory, found[0]) if found else None


def whole_life(directory, library, program, count, commands, checked):
    """A process, gcore's file of it, its going on, the kernel's core file."""
    process = start(directory, library, program)
    try:
        wait_until_parked(directory, process.pid, count)
        before = resident(process.pid)
        checked("live", gdb(directory, "-p", str(process.pid), *commands))
        # It goes on undisturbed: gdb wrote nothing, and no stack came back.
        tool.expect(process.poll() is None and resident(process.pid) < before + 4 * 4096, "undisturbed", before, resident(process.pid))
        made = os.path.join(directory, "made")
        gcore = gdb(directory, "-p", str(process.pid), "-ex", f"gcore {made}")
        tool.expect("Saved corefile" in gcore.stdout and "read failed" not in gcore.stdout + gcore.stderr, "gcore", gcore)
        checked("gcore's file", gdb(directory, program, made, *commands))
        # A call in the process is the kernel thread's; the view stays.
        again = gdb(directory, "-p", str(process.pid), *all_of("coroutine 1", "print (int)getpid()", "coroutine"))
        tool.expect(f"= {process.pid}\n[Coroutine 1 " in again.stdout and process.poll() is None, "a call", again.stdout, again.stderr)
        process.send_signal(signal.SIGABRT)
        process.wait()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    core = core_of(directory, process)
    if core is None:
        print("core files go elsewhere here (core_pattern): not looked at")
        return
    checked("core file", gdb(directory, program, core, *commands))
    os.unlink(core)


def taking_turns(directory, library):
    """Two that compute on one shared stack: whoever waits for its turn is shown as it was interrupted (hogs.c)."""
    hogs = start(directory, library, os.path.join(options.build, "tests/tools/hogs"))
    try:
        def both():
            out = gdb(directory, "-p", str(hogs.pid), *all_of("coroutine apply all bt full")).stdout
            parts = re.split(r"^Coroutine (\d+) ", out, flags=re.M)[1:]
            found = dict(zip(map(int, parts[::2]), parts[1::2]))
            return len(found) == 2 and all(
                re.search(rf"^#\d+ .*{function} .*\n +own = {mark}$", found[number], re.M) and "coshim_swap_start" in found[number]
                for number, function, mark in ((1, "compute_first", 111), (2, "compute_second", 222)))

        tool.until(both, "both computing threads with their own frames")  # one of them has not begun yet perhaps
    finally:
        hogs.kill()
        hogs.wait()
        hogs.stdout.close()


def running_one(directory, library):
    """Under gdb from the start: a coroutine that runs is shown on its kernel thread, and going on ends the view."""
    variables = {"LD_PRELOAD": library, **ENVIRONMENT, "COSHIM_WORKERS": "1"}
    result = gdb(directory, *all_of(*(f"set environment {name} {value}" for name, value in variables.items()), "break tick", "run",
                                    "info coroutines", "coroutine 5", "bt", "coroutine 1", "coroutine", "tbreak sleep", "continue",
                                    "coroutine", "info coroutines", "kill"), demo)
    out = result.stdout
    tool.expect(len(re.findall(r"^ +5 +\d+ +running .*tick", out, re.M)) == 2, "the running one", out, result.stderr)
    tool.expect("[Coroutine 1 " in out and "No coroutine is viewed" in out[out.rindex("[Coroutine 1 "):], "going on", out, result.stderr)


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
            whole_life(directory, library, demo, len(WAITING), COMMANDS, lambda what, result: check(what, result, not stripped))
            if not stripped:
                whole_life(directory, library, recursion, 6, RECURSION, check_recursion)
                running_one(directory, library)
                taking_turns(directory, library)
            print(f"{options.mode}, {'stripped' if stripped else 'with debug information'}: as it should be")


main()

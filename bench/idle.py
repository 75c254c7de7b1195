"""What an idle thread costs in each stack mode, beside native threads and goroutines in one run; and 1,000,000 of them in one
unmodified program: half asleep, half on a condition, and as many as descriptors allow in read."""
import os
import resource
import statistics
import time

from measure import Disturbed, Failed, MemoryGrowth, fields
from table import Goal

SMALL = {"COSHIM_STACK_SIZE": "64K"}
MODES = {
    "elastic": {"COSHIM_STACK_MODE": "elastic", "COSHIM_STACK_IDLE": "100ms"},
    "elastic, 64 KiB stacks": {"COSHIM_STACK_MODE": "elastic", "COSHIM_STACK_IDLE": "100ms", **SMALL},
    "shared": {"COSHIM_STACK_MODE": "shared"},
    "private, 64 KiB stacks": {"COSHIM_STACK_MODE": "private", **SMALL},
}
KINDS = ("read", "sleep", "condition")
# Bytes of each thread, from the issue. An elastic one is compared with a goroutine of the same run.
LIMITS = {"shared": 6 * 1024, "private, 64 KiB stacks": 12 * 1024}
COUNT, MILLION = 20000, 1000000
QUICK_COUNT, QUICK_MILLION = 4000, 100000
BYTES_NEEDED = 14000  # of free memory for each thread, before its stack is saved
SETTLED_SECONDS = 20
DESCRIPTORS_EACH, SPARE_DESCRIPTORS = 3, 64  # a pair, and Go's copy of one


def saved_memory(program):
    """Waits until stacks that leave their pages have done so."""
    deadline, before = time.monotonic() + SETTLED_SECONDS, None
    while time.monotonic() < deadline:
        now = sum(program.memory().values())
        if before is not None and abs(now - before) < 64 * 1024:
            return
        before = now
        time.sleep(1)


def of_each(programs, command, count, settings):
    with programs.start(command, "native" if settings is None else "shim", settings=settings or {}) as program:
        program.expect("ready", 120)
        growth = MemoryGrowth(program)
        program.say()
        program.expect("idle", 120)
        saved_memory(program)
        return growth.of_each(count)


def together(results):
    """What could be read for certain, where other programs hid the kernel's objects."""
    for result in results:
        result.setdefault("all", sum(result.values()))
    return results


def middle(results):
    return statistics.median(result["all"] for result in results) if results else None


def each_thread(bench):
    most = QUICK_COUNT if bench.options.quick else COUNT
    in_read = min(most, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS) // DESCRIPTORS_EACH)
    bench.table.section(f"Each of {most:,} idle threads ({in_read:,} in read), by stack mode, all of it; bound: a goroutine, or the goal")

    def measured(what, program, kind, settings):
        count = in_read if kind in (None, "read") else most
        command = [program, count] + ([kind] if kind else [])
        return together(bench.repeated(what, ["it"], lambda _: bench.undisturbed(
            what, lambda: of_each(bench.programs, command, count, settings)))["it"])

    goroutine = None
    if os.path.exists(bench.programs.path("idle_goroutines")):
        results = measured("goroutine in a network read", "idle_goroutines", None, None)
        goroutine = middle(results)
        bench.memory_rows("goroutine in a network read", {"bare": results})
    else:
        print("goroutines: not measured, no Go compiler was found when this was built (golang-go)")
    native = {}
    for kind in KINDS:
        results = measured(f"thread in {kind}, native", "idle_threads", kind, None)
        native[kind] = results
        bench.memory_rows(f"native, in {kind}", {"native": results})
    if bench.options.native_only:
        return
    for mode, settings in MODES.items():
        for kind in KINDS:
            results = measured(f"{mode}, {kind}", "idle_threads", kind, settings)
            bound = LIMITS.get(mode, goroutine)
            text = "at most a goroutine" if mode not in LIMITS else f"at most {LIMITS[mode]:,} bytes"
            goals = (Goal("bare", 1, text),) if bound else ()
            bench.memory_rows(f"{mode}, in {kind}", {"native": native[kind], "shim": results, "bare": [{"all": bound}] if bound else []},
                              goals)


def at_once(programs, count, settings):
    """One program with so many threads. Seconds and bytes."""
    with programs.start(["idle_threads", count, "mixed"], "shim", settings=settings) as program:
        readers = int(program.read_line(120))
        program.expect("ready")
        growth = MemoryGrowth(program)
        began, cpu = time.monotonic(), program.cpu_ns()
        program.say()
        program.expect("idle", 600)
        created, created_cpu = time.monotonic() - began, program.cpu_ns() - cpu
        saved_memory(program)
        threads, maps = program.threads(), lines_of(f"/proc/{program.pid}/maps")
        try:
            memory = growth.of_each(count)
        except Disturbed as disturbed:  # too long to be tried again
            memory = disturbed.growth
        memory["all"] = sum(kind for name, kind in memory.items() if name != "all")
        began = time.monotonic()
        program.say()
        program.expect("joined", 600)
        return {"readers": readers, "created": created, "cpu": created_cpu / count / 1000, "kernel threads": threads, "maps": maps,
                "joined": time.monotonic() - began, **memory}


def lines_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return sum(1 for _ in file)


def million(bench):
    count = QUICK_MILLION if bench.options.quick else MILLION
    bench.table.section(f"{count:,} threads alive and blocked in one program")
    if (free := fields("/proc/meminfo")["MemAvailable"] * 1024) < count * BYTES_NEEDED:
        print(f"not measured: {free >> 20:,} MiB are free, {count * BYTES_NEEDED >> 20:,} MiB are needed")
        return
    for mode, settings in MODES.items():
        what = f"{count:,} threads, {mode}"
        try:
            result = at_once(bench.programs, count, settings)
        except Failed as error:
            bench.table.failed(what, error)
            continue
        rows = [("  in read", "", "readers", ()), ("  created and blocked", "s", "created", ()), ("  CPU of each", "us", "cpu", ()),
                ("  woken and joined (not the sleepers)", "s", "joined", ()), ("  kernel threads", "", "kernel threads", ()),
                ("  mappings", "", "maps", ())]
        bench.memory_rows(what, {"shim": [result]})
        bench.rows_of({"shim": [result]}, rows)


def run(bench):
    each_thread(bench)
    if not bench.options.native_only:
        million(bench)

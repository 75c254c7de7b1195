"""Starting the measured programs, natively or under the shim, and reading what they cost from /proc."""
import os
import select
import subprocess
import time


class Failed(Exception):
    """A measured program crashed, hung or answered wrongly: one line that says which."""


STACK_MODES = ("private", "shared")


class Programs:
    """Where the programs are, and how they are started."""

    def __init__(self, build, pins, settings):
        self.build = build
        self.library = os.path.join(build, "libcoshim.so")
        self.pins = pins  # core by role; None: not pinned
        self.settings = settings  # COSHIM_ variables for the shim runs

    def environment(self, run):
        """`run`: "shim"; or "private" or "shared": the shim in that stack mode, with one shared stack."""
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("COSHIM_") and name != "LD_PRELOAD"}
        if run in STACK_MODES:
            environment |= {"COSHIM_STACK_MODE": run, "COSHIM_SHARED_STACKS": "1"}
        return {**environment, "LD_PRELOAD": self.library, **self.settings} if run in ("shim", *STACK_MODES) else environment

    def path(self, name):
        return os.path.join(self.build, "bench", name)

    def start(self, arguments, run="native", role="server", settings=None):
        """`run`: "shim" preloads the library, anything else does not. `settings`: for this run alone."""
        core = self.pins[role]
        command = [self.path(arguments[0]), *map(str, arguments[1:])]
        # Pinned before exec: the shim takes its number of workers from the affinity mask.
        pin = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
        return Program(subprocess.Popen(command, env={**self.environment(run), **(settings or {})}, preexec_fn=pin, bufsize=0,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE), " ".join(map(str, arguments)))


class Program:
    """A running program that talks in lines. Use in `with`: it is killed at the end."""

    def __init__(self, process, name):
        self.process, self.name, self.pid, self.received = process, name, process.pid, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def read_line(self, seconds=60):
        deadline = time.monotonic() + seconds
        while b"\n" not in self.received:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise Failed(f"{self.name}: silent for {seconds:g} s")
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                raise Failed(f"{self.name}: ended with status {self.process.wait()}")
            self.received += part
        line, _, self.received = self.received.partition(b"\n")
        return line.decode()

    def expect(self, line, seconds=60):
        if (got := self.read_line(seconds)) != line:
            raise Failed(f"{self.name}: said {got!r} instead of {line!r}")

    def say(self):
        try:
            self.process.stdin.write(b"\n")
        except BrokenPipeError as error:
            raise Failed(f"{self.name}: ended with status {self.process.wait()}") from error

    def cpu_ns(self):
        """CPU time of all its threads, dead ones too: clock_getcpuclockid(3)'s clock, to the nanosecond."""
        if self.process.poll() is not None:
            raise Failed(f"{self.name}: ended with status {self.process.returncode}")
        return time.clock_gettime_ns((~self.pid << 3) | 2)  # CPUCLOCK_SCHED of the whole process

    def threads(self):
        return fields(f"/proc/{self.pid}/status")["Threads"]

    def memory(self):
        """Bytes that are its own beyond doubt, by kind. Pages that it maps are counted by walking them (smaps_rollup),
        since the quick counters (statm) are some hundred KiB off. A kernel stack is 16 KiB on x86-64."""
        status = fields(f"/proc/{self.pid}/status")
        return {"user": fields(f"/proc/{self.pid}/smaps_rollup")["Rss"] * 1024, "page tables": status["VmPTE"] * 1024,
                "kernel stacks": status["Threads"] * 16384}


def fields(path):
    """The numbers of a /proc file made of "Name: number" lines."""
    values = {}
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, rest = line.partition(":")
            words = rest.split()
            if words and words[0].isdigit():
                values[name] = int(words[0])
    return values


class Surroundings:
    """What the kernel holds for all programs together. Its own objects (slab) can only be read system-wide, so the rest
    is there to see whether another program came, went, or opened sockets meanwhile."""

    def __init__(self):
        self.slab = fields("/proc/meminfo")["SUnreclaim"] * 1024  # caches of files and /proc come and go: left out
        with open("/proc/loadavg", encoding="ascii") as load:
            self.tasks = int(load.read().split()[3].partition("/")[2])
        with open("/proc/net/sockstat", encoding="ascii") as statistics:
            tcp = next(line for line in statistics if line.startswith("TCP:")).split()
        self.sockets, self.time_wait = (int(tcp[tcp.index(name) + 1]) for name in ("alloc", "tw"))

    def disturbed(self, before, threads, sockets):
        """What others did since `before`, when we have added so many threads and sockets; None: nothing worth naming."""
        tolerated = 50 + max(threads, sockets) // 50
        for name, change in (("threads", self.tasks - before.tasks - threads),
                             ("sockets", self.sockets - before.sockets - sockets),
                             ("sockets in TIME_WAIT", (self.time_wait - before.time_wait) // 8)):  # 8: they are small
            if abs(change) > tolerated:
                return f"other programs' {name} changed"
        return None


def settle(limit=6):
    """Waits until the kernel has stopped freeing what ended programs left behind, but not for ever. Its counters are
    gathered from the CPUs once a second."""
    deadline = time.monotonic() + limit
    before = Surroundings().slab
    while time.monotonic() < deadline:
        time.sleep(1.2)
        after = Surroundings().slab
        if abs(after - before) < 128 * 1024:
            return
        before = after


class MemoryGrowth:
    """What `program` has come to use since this was made, with the kernel's objects for it."""

    def __init__(self, program):
        settle()
        self.program, self.own, self.around = program, program.memory(), Surroundings()
        self.threads = program.threads()

    def until_idle(self, limit=10):
        """Waits until the program has given back what idle threads give back (COSHIM_STACK_IDLE), but not for ever."""
        deadline = time.monotonic() + limit
        before = None
        while before != (before := self.program.memory()["user"]) and time.monotonic() < deadline:
            time.sleep(1.5)

    def of_each(self, count, sockets=0):
        """Bytes for each of `count`, by kind and together. Raises Disturbed, with what is certain."""
        self.until_idle()
        settle()
        now, around = self.program.memory(), Surroundings()
        growth = {kind: (now[kind] - self.own[kind]) / count for kind in now}
        if why := around.disturbed(self.around, self.program.threads() - self.threads, sockets):
            raise Disturbed(why, growth)
        growth["kernel objects"] = (around.slab - self.around.slab) / count
        return {**growth, "all": sum(growth.values())}


class Disturbed(Exception):
    """Other programs' comings and goings hid what we looked for; `growth` is what could be read all the same."""

    def __init__(self, why, growth):
        super().__init__(why)
        self.growth = growth

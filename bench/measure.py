"""Starting the measured programs, natively or under the shim, and reading what they cost from /proc."""
import os
import select
import subprocess
import time


class Failed(Exception):
    """A measured program crashed, hung or answered wrongly: one line that says which."""


class Programs:
    """Where the programs are, and how they are started."""

    def __init__(self, build, server_core, client_core, settings):
        self.build = build
        self.library = os.path.join(build, "libcoshim.so")
        self.server_core, self.client_core = server_core, client_core  # None: not pinned
        self.settings = settings  # COSHIM_ variables for the shim runs

    def environment(self, shim):
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("COSHIM_") and name != "LD_PRELOAD"}
        return {**environment, "LD_PRELOAD": self.library, **self.settings} if shim else environment

    def start(self, arguments, run="native", core="server"):
        """`run`: "shim" preloads the library, anything else does not."""
        core = self.server_core if core == "server" else self.client_core
        command = [os.path.join(self.build, "bench", arguments[0]), *map(str, arguments[1:])]
        # Pinned before exec: the shim takes its number of workers from the affinity mask.
        pin = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
        return Program(subprocess.Popen(command, env=self.environment(run == "shim"), preexec_fn=pin, bufsize=0,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE), " ".join([run, *map(str, arguments)]))


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


def slab():
    """Bytes of the kernel's own objects, system-wide. The counters are summed up from the CPUs once a second."""
    return fields("/proc/meminfo")["Slab"] * 1024


def settle(limit=6):
    """Waits until the kernel has stopped freeing what ended programs left behind, but not for ever."""
    deadline = time.monotonic() + limit
    before = slab()
    while time.monotonic() < deadline:
        time.sleep(1.2)
        after = slab()
        if abs(after - before) < 128 * 1024:
            return
        before = after


def memory_with_slab(program):
    settle()
    return {**program.memory(), "slab": slab()}


def difference(after, before):
    return {kind: after[kind] - before[kind] for kind in after}

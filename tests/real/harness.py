"""What all tests of real programs share: environments, processes under test, what /proc says, dumps, comparisons.

Only the standard library, only one thread: the test must not itself do what it tests.
"""

import argparse
import contextlib
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

MOST_KERNEL_THREADS = 24
EXIT_SKIPPED = 77
NEEDED_DESCRIPTORS = 8192
START_SECONDS = 30
STOP_SECONDS = 60
DUMP_SECONDS = 10


class Failure(Exception):
    """Something is not as it should be; the text says what."""


class Mode:
    """Natively (workers is None), or preloaded with so many workers."""

    def __init__(self, library=None, workers=None):
        self.library = os.path.abspath(library) if library else None
        self.workers = workers
        self.preloaded = workers is not None
        # Another one for a program that has its own use for this signal: its handler would win.
        self.dump_signal = signal.SIGUSR2
        self.name = f"{workers} worker{'s' if workers > 1 else ''}" if self.preloaded else "native"

    def environment(self, dump_path, extra=None):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COSHIM_", "REAL_COSHIM_"))}
        kept.pop("LD_PRELOAD", None)
        # One locale, one time zone and one home, so that transcripts don't depend on who runs the test.
        kept.update({"LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"})
        kept.update(extra or {})
        if self.preloaded:
            kept.update({"LD_PRELOAD": self.library, "COSHIM_WORKERS": str(self.workers),
                         "COSHIM_DUMP_SIGNAL": self.dump_signal.name[len("SIG"):], "COSHIM_DUMP_PATH": dump_path})
            # For narrowing a failure down: REAL_COSHIM_LOG=debug reaches the program as COSHIM_LOG=debug.
            for name, value in os.environ.items():
                if name.startswith("REAL_COSHIM_"):
                    kept[name[len("REAL_"):]] = value
        return kept


def parse_arguments(description, configure=None):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", help="the library to preload; without it the program runs natively only")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--idle", type=int, default=2000, help="idle connections while others are served")
    parser.add_argument("--timeout", type=float, default=600, help="seconds after which a run counts as hung")
    if configure:
        configure(parser)
    arguments = parser.parse_args()
    if arguments.lib and not os.path.exists(arguments.lib):
        sys.exit(f"{os.path.basename(sys.argv[0])}: {arguments.lib}: no such file")
    return arguments


def modes(arguments):
    """The native mode, which is the oracle, then the preloaded ones."""
    return [Mode()] + ([Mode(arguments.lib, workers) for workers in arguments.workers] if arguments.lib else [])


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(EXIT_SKIPPED)


def find_program(*names):
    """The path of the distribution's program; the test is skipped when it is not installed."""
    for name in names:
        found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
        if found:
            return found
    return skip(f"{names[0]} is not installed (tests/real/install.sh installs it)")


def raise_descriptor_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= NEEDED_DESCRIPTORS:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (NEEDED_DESCRIPTORS, max(hard, NEEDED_DESCRIPTORS)))
    except (ValueError, OSError):
        skip(f"{NEEDED_DESCRIPTORS} descriptors are needed, the limit is {hard} (ulimit -Hn)")


def free_port():
    """A loopback port below the range from which the kernel picks the ports of clients."""
    for _ in range(1000):
        port = random.randint(11000, 29000)
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise Failure("no free port")


def listening_sockets(port):
    """The port's lines in the kernel's table: a connection, just to see, would show in the program's logs."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as lines:
            for line in lines:
                words = line.split()
                if words[1].endswith(wanted) and words[3] == "0A":
                    yield words
                # Those that listen come first.
                elif words[3] not in ("0A", "st"):
                    break


def is_listening(port):
    return any(True for _ in listening_sockets(port))


def waiting_to_be_accepted(port):
    """How many connections the kernel has established that the server has not accepted yet."""
    return sum(int(words[4].split(":")[1], 16) for words in listening_sockets(port))


def status_field(pid, field):
    """A field of /proc/PID/status, or None when the process is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith(field + ":"):
                return line.split(None, 1)[1].strip()
    return None


def count_threads(pid):
    return int(status_field(pid, "Threads") or 0)


def count_descriptors(pid):
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def kernel_view(pid):
    """What each kernel thread of a process is doing; not more than 40 of them."""
    lines = []
    with contextlib.suppress(OSError):
        for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int)[:40]:
            words = []
            for name in ("comm", "wchan", "syscall"):
                try:
                    with open(f"/proc/{pid}/task/{task}/{name}", encoding="ascii", errors="replace") as part:
                        words.append(part.read().strip())
                except OSError:
                    words.append("?")
            lines.append(f"  {task} " + " | ".join(words))
    return "\n".join(lines)


def collect_dump(pid, mode, dump_path):
    """Asks the library for its dump and waits until the file has stopped growing."""
    try:
        os.kill(pid, mode.dump_signal)
    except ProcessLookupError:
        return "the process is gone: no dump"
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
        return summarize_dump(dump.read())[:60000]


def summarize_dump(text):
    """The header, then one of each group of coroutines that differ in nothing but numbers: the rarest are the news."""
    header, *blocks = re.split(r"\n\n+", text.strip())
    groups = {}
    for block in blocks:
        groups.setdefault(re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?", "N", block), []).append(block)
    parts = [f"{block[0]}\n    ({len(block)} alike)" for block in sorted(groups.values(), key=len)]
    return "\n\n".join([header] + parts)


def explain(pid, mode, dump_path):
    """For a process that hangs or misbehaves: its kernel threads and, under the library, its coroutines."""
    text = f"kernel threads:\n{kernel_view(pid)}"
    if mode.preloaded:
        text += "\ndump:\n" + collect_dump(pid, mode, dump_path)
    return text


def kill_group(process):
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def describe_status(status):
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


class Server:
    """A server under test: one process (with its children) in a session of its own, its output in files."""

    def __init__(self, mode, command, directory, extra_environment=None):
        self.mode = mode
        self.directory = tempfile.mkdtemp(prefix="run.", dir=directory)
        self.dump_path = os.path.join(self.directory, "dump")
        self.command = command
        with open(self._path("stdout"), "wb") as out, open(self._path("stderr"), "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=directory,
                                            env=mode.environment(self.dump_path, extra_environment),
                                            start_new_session=True)
        self.pid = self.process.pid

    def _path(self, name):
        return os.path.join(self.directory, name)

    def wait_until_listening(self, port):
        deadline = time.monotonic() + START_SECONDS
        while not is_listening(port):
            if self.process.poll() is not None:
                raise Failure(f"{self.command[0]} ended at once: {describe_status(self.process.returncode)}\n"
                              f"{self.errors()}{self.output()}")
            if time.monotonic() > deadline:
                raise Failure(f"{self.command[0]} does not listen on port {port} after {START_SECONDS} s\n"
                              + self.explain())
            time.sleep(0.02)

    def stop(self, stop_signal=signal.SIGTERM):
        """Asks the server to end and returns its exit status."""
        self.process.send_signal(stop_signal)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(f"no end {STOP_SECONDS} s after {stop_signal.name}\n" + self.explain()) from None

    def explain(self):
        if self.process.poll() is not None:
            return f"the server is gone: {describe_status(self.process.returncode)}"
        return explain(self.pid, self.mode, self.dump_path)

    def kill(self):
        kill_group(self.process)

    def output(self):
        return self._read("stdout")

    def errors(self):
        return self._read("stderr")

    def _read(self, name):
        with open(self._path(name), encoding="utf-8", errors="replace") as stream:
            return stream.read()


def line_shapes(text):
    """The set of a log's lines without what differs from run to run: dates, numbers, addresses, directories."""
    text = re.sub(r"\d+/[A-Z][a-z]{2}/\d+", "DATE", text)
    text = re.sub(r"\brun\.\w+", "DIRECTORY", text)
    return {re.sub(r"0x[0-9a-f]+|\d+", "N", line).rstrip() for line in text.splitlines()}


def compare_errors(mode, native_text, text, may_appear=()):
    """Nothing on stderr that the native run does not print, but for what the program says by chance in any run."""
    added = sorted(line for line in line_shapes(text) - line_shapes(native_text)
                   if not any(chance in line for chance in may_appear))
    if added:
        raise Failure(f"{mode.name}: on stderr, but not natively (numbers replaced by N):\n  " + "\n  ".join(added[:40]))


def excerpt(data, position):
    start = max(0, position - 60)
    return repr(data[start:position + 100])


def compare_bytes(mode, what, expected, got):
    if expected == got:
        return
    position = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
    raise Failure(f"{mode.name}: {what}: differs from the native answer at byte {position} "
                  f"({len(expected)} bytes natively, {len(got)} here)\n  native: {excerpt(expected, position)}\n"
                  f"  here:   {excerpt(got, position)}")


def compare_answers(mode, expected, got):
    if set(expected) != set(got):
        raise Failure(f"{mode.name}: other answers than natively: {sorted(set(expected) ^ set(got))[:20]}")
    for name in expected:
        compare_bytes(mode, name, expected[name], got[name])


def run_test(body):
    """Runs body(directory) in a scratch directory of its own; a Failure becomes exit status 1."""
    directory = tempfile.mkdtemp(prefix="coshim-real.")
    # Servers started as root may serve as another user.
    os.chmod(directory, 0o755)
    try:
        body(directory)
    except Failure as failure:
        print(f"FAILED: {failure}", flush=True)
        sys.exit(1)
    finally:
        shutil.rmtree(directory, ignore_errors=True)

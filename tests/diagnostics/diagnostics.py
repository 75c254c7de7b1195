"""What the tests of the diagnostics share: a program under the library, and asking it as an operator would."""

import ctypes
import json
import os
import signal
import struct
import subprocess
import time

HANG_SECONDS = int(os.environ.get("COSHIM_TEST_PATIENCE", "60"))
DUMP_SIGNAL = 63
ASK_STATISTICS = 0x434F5301
ASK_DUMP_TEXT = 0x434F5302
ASK_DUMP_JSON = 0x434F5303
ASK_DUMP_TEXT_FULL = 0x434F5304
ASK_DUMP_JSON_FULL = 0x434F5305

libc = ctypes.CDLL(None, use_errno=True)


def wait_until(condition, what, seconds=HANG_SECONDS):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


class SigInfo(ctypes.Structure):
    # x86-64's siginfo_t, as sigqueue(3) fills it.
    _fields_ = [("signo", ctypes.c_int), ("errno", ctypes.c_int), ("code", ctypes.c_int), ("pad", ctypes.c_int),
                ("pid", ctypes.c_int), ("uid", ctypes.c_uint), ("value", ctypes.c_uint64),
                ("rest", ctypes.c_char * 96)]


def queue(pid, value, tid=None, number=DUMP_SIGNAL):
    """sigqueue(3) to the process, or to one of its kernel threads."""
    info = SigInfo(signo=number, code=-1, pid=os.getpid(), uid=os.getuid(), value=value)
    if tid is None:
        result = libc.syscall(129, pid, number, ctypes.byref(info))
    else:
        result = libc.syscall(297, pid, tid, number, ctypes.byref(info))
    if result != 0:
        raise OSError(ctypes.get_errno(), "sigqueue")


def kernel_threads(pid):
    """{tid: name}"""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as comm:
                found[int(task)] = comm.read().strip()
        except OSError:
            pass
    return found


def kernel_position(pid):
    with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
        return file.read()


def monitor_of(pid):
    return next((tid for tid, name in kernel_threads(pid).items() if name == "coshim/monitor"), None)


def shared_file(pid, suffix):
    return f"/dev/shm/coshim-{os.getuid()}-{pid}.{suffix}"


HEADER = struct.Struct("<8sIIQiI16sqq")
COUNTS = ("alive starting runnable running parked finished blocked created peak_alive processors processors_running "
          "queued workers workers_peak kernel_threads kernel_threads_peak switches wake_ups worker_wake_ups hand_overs "
          "steals long_calls blocking_calls blocking_nanoseconds stack_slots stack_slots_in_use stack_reserved_bytes "
          "stack_live_bytes stack_saved_bytes stack_deepest_bytes resident_bytes").split()
CALL = struct.Struct("<40sIIQQQ")
CALLS = 128


def read_statistics(pid):
    """runtime/diag/statistics_layout.h, as a dictionary; None while it is written."""
    with open(shared_file(pid, "stats"), "rb") as file:
        data = file.read()
    magic, version, size, sequence, owner, mode, text, started, updated = HEADER.unpack_from(data)
    if sequence % 2 == 1 or magic == bytes(8):
        return None
    assert magic == b"COSHIMST" and version == 1 and owner == pid, (magic, version, owner)
    assert size == len(data) == HEADER.size + 8 * len(COUNTS) + CALLS * CALL.size, (size, len(data))
    found = dict(zip(COUNTS, struct.unpack_from(f"<{len(COUNTS)}Q", data, HEADER.size)))
    found.update(sequence=sequence, stack_mode=mode, library_version=text.rstrip(b"\0").decode(), started=started,
                 updated=updated, calls=[])
    for i in range(CALLS):
        name, kind, _, calls, blocked, ns = CALL.unpack_from(data, HEADER.size + 8 * len(COUNTS) + i * CALL.size)
        if not name.rstrip(b"\0"):
            break
        found["calls"].append(dict(name=name.rstrip(b"\0").decode(), kind=kind, calls=calls, blocked=blocked,
                                   nanoseconds=ns))
    return found


def ask_statistics(pid):
    before = read_statistics(pid)["sequence"] if os.path.exists(shared_file(pid, "stats")) else 0
    monitor = wait_until(lambda: monitor_of(pid), "the monitor")
    queue(pid, ASK_STATISTICS, tid=monitor)

    def answered():
        if not os.path.exists(shared_file(pid, "stats")):
            return None
        found = read_statistics(pid)
        return found if found and found["sequence"] != before else None

    return wait_until(answered, "the statistics")


class Program:
    """A program under the library, in a scratch directory. Its stdout is line-wise readable."""

    def __init__(self, library, arguments, scratch, **environment):
        self.scratch = scratch
        self.dump_path = os.path.join(scratch, "dump")
        self.errors_path = os.path.join(scratch, "stderr")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_")}
        kept.update(LD_PRELOAD=library, COSHIM_DUMP_PATH=self.dump_path, LC_ALL="C")
        kept.update(environment)
        kept = {k: v for k, v in kept.items() if v is not None}
        with open(self.errors_path, "wb") as errors:
            self.process = subprocess.Popen(arguments, env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=errors, cwd=scratch)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        for suffix in ("stats", "dump", "dump.part"):  # what a killed one leaves behind
            if os.path.lexists(shared_file(self.pid, suffix)):
                os.unlink(shared_file(self.pid, suffix))

    def wait_for_line(self, text):
        line = self.process.stdout.readline().decode()
        assert line.strip() == text, f"expected {text!r}, got {line!r}; stderr: {self.errors()}"

    def errors(self):
        with open(self.errors_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def end(self, text=b"\n"):
        """Ends a program that waits for a line."""
        self.process.stdin.write(text)
        self.process.stdin.flush()
        return self.process.wait(timeout=HANG_SECONDS)

    def dump(self, path=None):
        """One more text dump in the configured file, whole."""
        path = path or self.dump_path
        before = os.path.getsize(path) if os.path.exists(path) else 0
        os.kill(self.pid, DUMP_SIGNAL)

        def written():
            if not os.path.exists(path):
                return None
            with open(path, encoding="utf-8", errors="replace") as file:
                file.seek(before)
                text = file.read()
            return text if text.rstrip().endswith("=== end of dump ===") else None

        return wait_until(written, "the dump")

    def dump_shared(self, value):
        path = shared_file(self.pid, "dump")
        queue(self.pid, value, tid=wait_until(lambda: monitor_of(self.pid), "the monitor"))
        wait_until(lambda: os.path.exists(path), path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        os.unlink(path)
        return text

    def dump_json(self, full=False):
        return json.loads(self.dump_shared(ASK_DUMP_JSON_FULL if full else ASK_DUMP_JSON))


LIBRARY = os.environ.get("COSHIM_TEST_LIBRARY", "")
PROGRAMS = os.environ.get("COSHIM_TEST_PROGRAMS", "")


def program(name):
    return os.path.join(PROGRAMS, name)

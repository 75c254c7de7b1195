"""gdb: the threads of a program under coshim, on live processes and core files (docs/diagnostics.md, "gdb").

gdb loads this file by itself when the program loads libcoshim.so (its name and place are gdb's convention, "Auto-loading
extensions"), or by hand: source .../libcoshim.so-gdb.py.

  info coroutines             every thread of the program
  coroutine N                 view thread N: bt, frame, up, info locals, print ... are its own
  coroutine 0                 back to the kernel thread
  coroutine apply all bt      any command for every one; or for some: coroutine apply 1 4-7 bt

Nothing is written to the process. A viewed coroutine stands above the selected kernel thread as if called by it: a custom
unwinder answers what its saved registers are. That works the same for a process and for a core file, and continuing is safe.
Frames of a stack whose bytes are saved elsewhere at the moment (modes elastic and shared) are found by that unwinder too.

The source is in parts, which the build puts together: coroutines, call_frames, view, gcore, commands.
"""
import contextlib
import struct

import gdb
import gdb.unwinder
from gdb.FrameDecorator import FrameDecorator

REGISTERS = ("r15", "r14", "r13", "r12", "rbx", "rbp", "rip")
TABLE = "@IIQ12IQIQI7IIQ14I"
RUNNING, ENDED, SAVING, FROZEN = 3, 5, 1, 1
# Where a ucontext_t has them (sys/ucontext.h: gregs from offset 40 on).
CONTEXT = {"r8": 40, "r9": 48, "r10": 56, "r11": 64, "r12": 72, "r13": 80, "r14": 88, "r15": 96, "rdi": 104, "rsi": 112, "rbp": 120,
           "rbx": 128, "rdx": 136, "rax": 144, "rcx": 152, "rsp": 160, "rip": 168}


class Problem(gdb.GdbError):
    """Shown as one line."""


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address):
    return struct.unpack("<Q", read(address, 8))[0]


def number(address):
    return struct.unpack("<I", read(address, 4))[0]


def text(address, limit=200):
    """A C string; the end of a mapping may come before `limit`."""
    found = b""
    while address and len(found) < limit and b"\0" not in found:
        found += read(address + len(found), 16 - (address + len(found)) % 16)
    return found.split(b"\0")[0].decode("ascii", "replace")


class Interface:
    """The library's table coshim_debugger (runtime/diag/debugger.h)."""

    def __init__(self):
        try:
            at = int(gdb.parse_and_eval("(unsigned long)&coshim_debugger"))
        except gdb.error:
            raise Problem("libcoshim.so is not loaded here") from None
        try:
            (version, _, pool, self.record_size, self.state, self.residency, self.saved, self.wait_kind, self.wait_object,
             self.stack_pointer, self.fs_base, self.id, self.tid, self.name, self.start_routine, states, state_count, waits,
             wait_count, *self.frame, self.frame_size, self.first_worker, self.worker_next, self.worker_tid,
             self.worker_current, self.compact_low, self.compact_pages, self.compact_head, self.shared_stack, self.saved_bytes,
             self.saved_size, self.frozen, self.frozen_context, self.frozen_count, self.stack_occupant, self.stack_top) = struct.unpack(
                 TABLE, read(at, struct.calcsize(TABLE)))
            if version != 1:
                raise Problem(f"libcoshim.so has debugger interface {version}; this file knows 1")
            self.first_block, self.block_next, self.block_count, self.block_records = struct.unpack("<QIII", read(pool, 20))
            self.states = [text(word(states + 8 * i)) for i in range(state_count)]
            self.waits = [text(word(waits + 8 * i)) for i in range(wait_count)]
        except gdb.MemoryError as error:
            raise Problem(f"the library's table can't be read: {error}") from None

    def coroutines(self):
        found = []
        block = word(self.first_block)
        while block:
            records, count = word(block + self.block_records), word(block + self.block_count)
            bytes_of_all = read(records, count * self.record_size)
            for i in range(count):
                record = bytes_of_all[i * self.record_size:(i + 1) * self.record_size]
                if record[self.state]:
                    found.append(Coroutine(self, records + i * self.record_size, record))
            block = word(block + self.block_next)
        return sorted(found, key=lambda coroutine: coroutine.id)

    def worker_of(self, coroutine):
        """The tid of the kernel thread that runs it, or None."""
        worker = word(self.first_worker)
        while worker:
            if word(worker + self.worker_current) == coroutine.address:
                return number(worker + self.worker_tid)
            worker = word(worker + self.worker_next)
        return None


class Coroutine:
    def __init__(self, interface, address, record):
        def field(offset, form):
            return struct.unpack_from(form, record, offset)[0]

        self.interface = interface
        self.address = address
        self.id = field(interface.id, "<Q")
        self.tid = field(interface.tid, "<i")
        self.state = record[interface.state]
        self.is_frozen = self.state == RUNNING and field(interface.frozen, "<I") == FROZEN
        self.frozen_context = field(interface.frozen_context, "<Q")
        self.saved = field(interface.saved, "<Q") if record[interface.residency] > SAVING else 0
        self.memory = self.find_memory(*(field(offset, form) for offset, form in (
            (interface.shared_stack, "<Q"), (interface.saved_bytes, "<Q"), (interface.saved_size, "<I"))))
        self.wait_kind = record[interface.wait_kind]
        self.wait_object = field(interface.wait_object, "<Q")
        self.stack_pointer = field(interface.stack_pointer, "<Q")
        self.fs_base = field(interface.fs_base, "<Q")
        self.start_routine = field(interface.start_routine, "<Q")
        name = record[interface.name:interface.name + 16].split(b"\0")[0].decode("utf-8", "replace")
        self.name = "".join(letter if letter.isprintable() else "?" for letter in name)

    def find_memory(self, shared_stack, saved_bytes, saved_size):
        """Where its stack is to be read."""
        if self.saved:
            return compact_stack(self.interface, self.saved)
        if shared_stack and word(shared_stack + self.interface.stack_occupant) != self.address:
            return copied_stack(word(shared_stack + self.interface.stack_top) - saved_size, saved_bytes, saved_size)
        return StackInPlace()

    def registers(self):
        """Those of its innermost frame; of one that was switched away, of the frame that called the switch."""
        if self.is_frozen:
            context = read(self.frozen_context, max(CONTEXT.values()) + 8)
            return {name: struct.unpack_from("<Q", context, offset)[0] for name, offset in CONTEXT.items()} | {"fs_base": self.fs_base}
        frame = self.memory.read(self.stack_pointer, self.interface.frame_size)
        values = {name: struct.unpack_from("<Q", frame, offset)[0] for name, offset in zip(REGISTERS, self.interface.frame)}
        values["rsp"] = self.stack_pointer + self.interface.frame_size
        values["fs_base"] = self.fs_base
        return values

    def stack_is_there(self):
        try:
            return self.stack_pointer != 0 and self.registers()["rip"] != 0
        except gdb.MemoryError:
            return False

    def state_text(self):
        states = self.interface.states
        return states[self.state] if self.state < len(states) else str(self.state)

    def wait_text(self):
        kind, what = self.wait_kind, self.wait_object
        if kind == 0 or self.state == ENDED:
            return ""
        name = self.interface.waits[kind] if kind < len(self.interface.waits) else f"wait {kind}"
        try:
            if name in ("read", "write", "accept", "connect"):
                return f"{name} fd {what}"
            if name == "mutex":
                return f"{name} {what:#x} held by tid {number(what + 8)}"
            if name == "join":
                return f"{name} {word(what + self.interface.id)}"
            if name == "blocking call":
                return f"in {text(what)}()"
        except gdb.MemoryError:
            pass
        return f"{name} {what:#x}" if what else name


class StackInPlace:
    is_elsewhere = False

    @staticmethod
    def word(address):
        return word(address)

    @staticmethod
    def read(address, size):
        return read(address, size)

    @staticmethod
    def value(value):
        return value


class StackElsewhere:
    """What belongs at `low` and above is in a copy, fetched when it is needed; the rest comes from memory."""
    is_elsewhere = True

    def __init__(self, low, size, fetch):
        self.low, self.size, self.fetch, self.contents = low, size, fetch, None

    def word(self, address):
        return struct.unpack("<Q", self.read(address, 8))[0]

    def read(self, address, size):
        first = address - self.low
        if not 0 <= first <= first + size <= self.size:
            return read(address, size)
        if self.contents is None:
            self.contents = self.fetch()
        return self.contents[first:first + size]

    def value(self, value):
        """What lies where `value` belongs. As it is, where that is a register or not known."""
        address = value.address
        if address is None or value.type.strip_typedefs().code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
            return value
        return gdb.Value(self.read(int(address), value.type.sizeof), value.type)


def whole_words(tags, count):
    return sum(tags >> 2 * index & 3 == 3 for index in range(count))


def compact_stack(interface, at):
    """An elastic stack whose pages were given back (runtime/stack/compact.h): a bitmap of its words that are not zero, tags, and
    those words in pieces of 32 bits."""
    low, pages = word(at + interface.compact_low), number(at + interface.compact_pages)

    def fetch():
        bitmap = read(at + interface.compact_head, pages * 64)
        place = at + interface.compact_head + len(bitmap)
        count = bin(int.from_bytes(bitmap, "little")).count("1")
        tags = int.from_bytes(read(place, (count + 31) // 32 * 8), "little")
        pieces = struct.iter_unpack("<I", read(place + (count + 31) // 32 * 8, 4 * count + 4 * whole_words(tags, count)))
        contents, latest = bytearray(pages * 4096), 0
        for index, byte in enumerate(bitmap):
            for bit in range(8):
                if byte >> bit & 1:
                    piece, tag = next(pieces)[0], tags & 3
                    tags >>= 2
                    latest = next(pieces)[0] if tag == 3 else latest
                    struct.pack_into("<II", contents, 64 * index + 8 * bit, piece, (0, low >> 32, latest, latest)[tag])
        return bytes(contents)

    return StackElsewhere(low, pages * 4096, fetch)


def copied_stack(low, copy, size):
    """Of a shared stack that another one is on: its live bytes, as they were."""
    return StackElsewhere(low, size, lambda: read(copy, size))

"""gdb: the threads of a program under coshim, on live processes and core files (docs/diagnostics.md, "gdb").

gdb loads this file by itself when the program loads libcoshim.so (its name and place are gdb's convention, "Auto-loading
extensions"), or by hand: source .../libcoshim.so-gdb.py.

  info coroutines             every thread of the program
  coroutine N                 view thread N: bt, frame, up, info locals, print ... are its own
  coroutine 0                 back to the kernel thread
  coroutine apply all bt      any command for every one; or for some: coroutine apply 1 4-7 bt

Nothing is written to the process. A viewed coroutine stands above the selected kernel thread as if called by it: a custom
unwinder answers what its saved registers are. That works the same for a process and for a core file, and continuing is safe.
"""
import struct

import gdb
import gdb.unwinder

REGISTERS = ("r15", "r14", "r13", "r12", "rbx", "rbp", "rip")
TABLE = "@IIQ12IQIQI7IIQ6I"
RUNNING, ENDED = 3, 5
READ, WRITE, ACCEPT, CONNECT, MUTEX, JOIN, BLOCKED = 2, 3, 4, 5, 7, 13, 18


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
             self.worker_current, self.compact_low, self.compact_pages, self.compact_head) = struct.unpack(
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
        self.is_saved = record[interface.residency] > 1
        self.saved = field(interface.saved, "<Q")
        self.wait_kind = record[interface.wait_kind]
        self.wait_object = field(interface.wait_object, "<Q")
        self.stack_pointer = field(interface.stack_pointer, "<Q")
        self.fs_base = field(interface.fs_base, "<Q")
        self.start_routine = field(interface.start_routine, "<Q")
        self.name = record[interface.name:interface.name + 16].split(b"\0")[0].decode("ascii", "replace")

    def registers(self):
        """Those of its frame that called the switch."""
        memory = SavedStack(self.interface, self.saved).read if self.is_saved else read
        frame = memory(self.stack_pointer, self.interface.frame_size)
        values = {name: struct.unpack_from("<Q", frame, offset)[0] for name, offset in zip(REGISTERS, self.interface.frame)}
        values["rsp"] = self.stack_pointer + self.interface.frame_size
        values["fs_base"] = self.fs_base
        return values

    def stack_is_there(self):
        # A core file made by gcore has zeros behind the first guard that it met.
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
            if kind in (READ, WRITE, ACCEPT, CONNECT):
                return f"{name} fd {what}"
            if kind == MUTEX:
                return f"{name} {what:#x} held by tid {number(what + 8)}"
            if kind == JOIN:
                return f"{name} {word(what + self.interface.id)}"
            if kind == BLOCKED:
                return f"in {text(what)}()"
        except gdb.MemoryError:
            pass
        return f"{name} {what:#x}" if what else name


class SavedStack:
    """A compact copy of a stretch of memory whose pages were given back (runtime/stack/compact.h)."""

    def __init__(self, interface, at):
        self.low = word(at + interface.compact_low)
        words = number(at + interface.compact_pages) * 512
        self.bitmap = int.from_bytes(read(at + interface.compact_head, words // 8), "little")
        self.words = at + interface.compact_head + words // 8
        self.size = 8 * words

    def word(self, address):
        index = (address - self.low) // 8
        if not 0 <= index < self.size // 8:
            return word(address)
        if not self.bitmap >> index & 1:
            return 0
        before = bin(self.bitmap & ((1 << index) - 1)).count("1")
        return word(self.words + 8 * before)

    def read(self, address, size):
        return b"".join(struct.pack("<Q", self.word(address + i)) for i in range(0, size, 8))


class View:
    """Which coroutine stands above which kernel thread."""
    coroutine = None
    thread = None
    place = None  # rip and rsp of the kernel thread: its innermost frame
    level = 0  # of that frame: what is inlined there comes first

    @classmethod
    def set(cls, coroutine):
        thread = gdb.selected_thread()
        cls.coroutine = None
        gdb.invalidate_cached_frames()
        if coroutine and thread:
            newest = gdb.newest_frame()
            cls.place = (int(newest.read_register("rip")), int(newest.read_register("rsp")))
            cls.coroutine, cls.thread, cls.level = coroutine, thread.ptid, 0
        gdb.set_convenience_variable("_coroutine", coroutine.id if coroutine else 0)
        gdb.invalidate_cached_frames()

    @classmethod
    def here(cls):
        thread = gdb.selected_thread()
        return cls.coroutine if cls.coroutine and thread and thread.ptid == cls.thread else None


class CoroutineUnwinder(gdb.unwinder.Unwinder):
    """Who called the innermost frame of the kernel thread? The viewed coroutine."""

    class FrameId:
        def __init__(self, sp, pc):
            self.sp, self.pc = sp, pc

    def __init__(self):
        super().__init__("coshim-coroutine")

    def __call__(self, pending):
        coroutine = View.here()
        if coroutine is None or View.place != (int(pending.read_register("rip")), int(pending.read_register("rsp"))):
            return None
        View.level = pending.level()
        whole = gdb.lookup_type("unsigned long")
        registers = coroutine.registers()
        # gdb stops at a caller that lies below its callee ("previous frame inner to this frame").
        frame_id = self.FrameId(gdb.Value(registers["rsp"] - coroutine.interface.frame_size).cast(whole),
                                pending.read_register("rip"))
        info = pending.create_unwind_info(frame_id)
        for name, value in registers.items():
            info.add_saved_register(name, gdb.Value(value).cast(whole))
        return info


class HideKernelThread:
    """A frame filter: bt of a viewed coroutine begins with its own first frame."""

    def __init__(self):
        self.name, self.enabled, self.priority = "coshim-coroutine", True, 10000
        gdb.frame_filters[self.name] = self

    def filter(self, frames):
        if View.here() is None:
            return frames
        return (frame for frame in frames if frame.inferior_frame().level() > View.level)


def select(coroutine):
    """Makes `coroutine` the one that commands work on. False where it has no stack."""
    if coroutine.state == RUNNING:
        tid = coroutine.interface.worker_of(coroutine)
        for thread in gdb.selected_inferior().threads():
            if thread.ptid[1] == tid:
                View.set(None)
                thread.switch()
                return True
        return False
    if coroutine.state == ENDED or not coroutine.stack_is_there():
        return False
    View.set(coroutine)
    frame = gdb.newest_frame()
    while frame is not None and frame.level() <= View.level:
        frame = frame.older()
    if frame is None:
        View.set(None)
        return False
    frame.select()
    return True


class Kept:
    """with Kept(): what was selected is selected again."""

    def __enter__(self):
        self.coroutine, self.thread = View.here(), gdb.selected_thread()
        if self.thread is None:
            raise Problem("there is no process and no core file")

    def __exit__(self, *_):
        self.thread.switch()
        View.set(self.coroutine)
        if self.coroutine:
            select(self.coroutine)


def own_frame():
    """The innermost frame that is the program's, not the shim's nor libc's, as text."""
    frame = gdb.selected_frame()
    for _ in range(60):
        if frame is None or not frame.is_valid():
            break
        library = gdb.solib_name(frame.pc()) or ""
        if not any(name in library for name in ("libcoshim.so", "libc.so", "libstdc++.so")):
            place = frame.find_sal()
            where = f" at {place.symtab.filename}:{place.line}" if place.symtab else ""
            return (frame.name() or f"{frame.pc():#x}") + where
        frame = frame.older()
    return ""


def function_name(address):
    block = gdb.execute(f"info symbol {address:#x}", to_string=True)
    return "" if block.startswith("No symbol") else block.split(" in section")[0].strip()


def plainly(invoke):
    """What gdb itself refuses ("Selected thread is running.") is one line too."""

    def guarded(self, argument, from_tty):
        try:
            invoke(self, argument, from_tty)
        except (gdb.MemoryError, gdb.error) as error:
            raise Problem(str(error)) from None

    return guarded


class InfoCoroutines(gdb.Command):
    """The threads of the program, as coshim runs them: info coroutines [STATE]
The one that is viewed has a star. With STATE (parked, runnable, running, ended) only those."""

    def __init__(self):
        super().__init__("info coroutines", gdb.COMMAND_STATUS)

    @plainly
    def invoke(self, argument, from_tty):
        del from_tty
        coroutines = Interface().coroutines()
        if argument:
            coroutines = [c for c in coroutines if c.state_text() == argument]
        if not coroutines:
            gdb.write("No coroutines.\n")
            return
        viewed = View.here()
        gdb.write(f"  {'Id':<6} {'Tid':<10} {'State':<9} {'Waits for':<40} Frame\n")
        with Kept():
            for c in coroutines:
                frame = own_frame() if select(c) else f"started in {function_name(c.start_routine)}"
                star = "*" if viewed and viewed.address == c.address else " "
                name = f'"{c.name}" ' if c.name else ""
                gdb.write(f"{star} {c.id:<6} {c.tid:<10} {c.state_text():<9} {c.wait_text():<40} {name}{frame}\n")


class CoroutineCommand(gdb.Command):
    """View a thread of the program as coshim runs it: coroutine N
Its number is that of "info coroutines". bt, frame, up, down, info locals and print then work on it; the kernel
thread stays where it is. "coroutine 0" goes back to the kernel thread, and so does every command that continues."""

    def __init__(self):
        super().__init__("coroutine", gdb.COMMAND_STACK, prefix=True)

    @plainly
    def invoke(self, argument, from_tty):
        del from_tty
        if not argument:
            viewed = View.here()
            gdb.write(f"[Coroutine {viewed.id} (tid {viewed.tid})]\n" if viewed else "No coroutine is viewed.\n")
            return
        if argument == "0":
            View.set(None)
            gdb.execute("frame")
            return
        coroutine = find(Interface().coroutines(), argument)
        if gdb.selected_thread() is None:
            raise Problem("there is no process and no core file")
        if not select(coroutine):
            raise Problem(f"coroutine {coroutine.id} is {coroutine.state_text()}: its stack is not there (docs/diagnostics.md, gdb)")
        gdb.write(f"[Coroutine {coroutine.id} (tid {coroutine.tid}), {coroutine.state_text()} {coroutine.wait_text()}]\n")
        gdb.execute("frame")


def find(coroutines, argument):
    if not argument.isdigit():
        raise Problem(f"not a coroutine's number: {argument}")
    for coroutine in coroutines:
        if coroutine.id == int(argument):
            return coroutine
    raise Problem(f"there is no coroutine {argument}")


def chosen(coroutines, words):
    """Takes "all", or numbers and ranges, off the front of `words`."""
    if words and words[0] == "all":
        del words[0]
        return coroutines
    wanted = set()
    taken = []
    while words and words[0].replace("-", "", 1).isdigit():
        first, _, last = words.pop(0).partition("-")
        wanted.update(range(int(first), int(last or first) + 1))
    for coroutine in coroutines:
        if coroutine.id in wanted:
            taken.append(coroutine)
    return taken


class CoroutineApply(gdb.Command):
    """A command for several coroutines: coroutine apply all COMMAND, coroutine apply 1 4-7 COMMAND"""

    def __init__(self):
        super().__init__("coroutine apply", gdb.COMMAND_STACK)

    @plainly
    def invoke(self, argument, from_tty):
        words = argument.split()
        coroutines = chosen(Interface().coroutines(), words)
        if not words:
            raise Problem("coroutine apply all COMMAND, or coroutine apply NUMBERS COMMAND")
        with Kept():
            for c in coroutines:
                name = f' "{c.name}"' if c.name else ""
                gdb.write(f"\nCoroutine {c.id} (tid {c.tid}){name}: {c.state_text()} {c.wait_text()}\n")
                if not select(c):
                    gdb.write(f"started in {function_name(c.start_routine)}; its stack is not there\n")
                    continue
                try:
                    gdb.execute(" ".join(words), from_tty)
                except gdb.error as error:
                    gdb.write(f"{error}\n")


gdb.unwinder.register_unwinder(None, CoroutineUnwinder(), replace=True)
HideKernelThread()
gdb.events.cont.connect(lambda _: View.set(None) if View.coroutine else None)
InfoCoroutines()
CoroutineCommand()
CoroutineApply()

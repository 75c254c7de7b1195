class View:
    """Which coroutine stands above which kernel thread."""
    coroutine = None
    thread = None
    place = None  # rip and rsp of the kernel thread: its innermost frame
    level = 0  # of that frame: what is inlined there comes first
    interrupted = {}  # by level: it was interrupted, not calling
    tables = None

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
    def call_frames(cls):
        if cls.tables is None:
            cls.tables = CallFrames()
        return cls.tables

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
        if coroutine is None:
            return None
        if View.place == (int(pending.read_register("rip")), int(pending.read_register("rsp"))):
            return self.first_frame(pending, coroutine)
        if not coroutine.memory.is_elsewhere or pending.level() <= View.level:
            return None
        try:
            return self.caller(pending, coroutine)
        except (gdb.error, KeyError, IndexError, struct.error):
            return None

    def first_frame(self, pending, coroutine):
        View.level, View.interrupted = pending.level(), {pending.level() + 1: coroutine.is_frozen}
        registers = coroutine.registers()
        # gdb stops at a caller that lies below its callee ("previous frame inner to this frame").
        return self.info(pending, registers["rsp"] - coroutine.interface.frame_size, int(pending.read_register("rip")), registers)

    def caller(self, pending, coroutine):
        """Of a frame on a stack whose bytes are elsewhere."""
        level, registers = pending.level(), {}
        for name in DWARF_NAMES:
            with contextlib.suppress(gdb.error, ValueError):
                registers[name] = int(pending.read_register(name)) % (1 << 64)
        # A return address belongs to the call before it.
        rules = View.call_frames().rules_for(registers["rip"] - (0 if View.interrupted.get(level) else 1))
        if rules is None:
            rules = View.call_frames().rules_for(registers["rip"])  # a signal frame's table begins at its return address
        found = caller_of(rules, registers, coroutine.memory) if rules else None
        if found is None:
            return None
        View.interrupted[level + 1] = rules.signal_frame
        return self.info(pending, found[0], rules.begin, found[1] | {"fs_base": coroutine.fs_base})

    def info(self, pending, stack_pointer, address, registers):
        whole = gdb.lookup_type("unsigned long")
        info = pending.create_unwind_info(self.FrameId(gdb.Value(stack_pointer).cast(whole), gdb.Value(address).cast(whole)))
        for name, value in registers.items():
            info.add_saved_register(name, gdb.Value(value % (1 << 64)).cast(whole))
        return info


class SavedFrame(FrameDecorator):
    """A frame whose arguments and variables are shown as the copy of its stack has them."""

    class Variable:
        def __init__(self, variable, value):
            self.variable, self.saved = variable, value

        def symbol(self):
            return self.variable.symbol()

        def value(self):
            return self.saved

    def frame_args(self):
        return self.saved(super().frame_args())

    def frame_locals(self):
        return self.saved(super().frame_locals())

    def saved(self, variables):
        frame, coroutine, found = self.inferior_frame(), View.here(), []
        for variable in variables or []:
            try:
                value = coroutine.memory.value(variable.symbol().value(frame))
                value.fetch_lazy()
            except (gdb.error, AttributeError) as error:
                value = f"<{error}>"
            found.append(self.Variable(variable, value))
        return found


class Saved(gdb.Function):
    """$saved(VARIABLE): its value on the stack of the viewed coroutine, also where that is saved elsewhere."""

    def __init__(self):
        super().__init__("saved")

    def invoke(self, value):
        coroutine = View.here()
        return coroutine.memory.value(value) if coroutine else value


class HideKernelThread:
    """A frame filter: bt of a viewed coroutine begins with its own first frame."""

    def __init__(self):
        self.name, self.enabled, self.priority = "coshim-coroutine", True, 10000
        gdb.frame_filters[self.name] = self

    def filter(self, frames):
        if View.here() is None:
            return frames
        frames = (frame for frame in frames if frame.inferior_frame().level() > View.level)
        return map(SavedFrame, frames) if View.here().memory.is_elsewhere else frames


def select(coroutine):
    """Makes `coroutine` the one that commands work on. False where it has no stack."""
    if coroutine.state == RUNNING and not coroutine.is_frozen:
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

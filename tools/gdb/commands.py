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
        if coroutine.memory.is_elsewhere:
            gdb.write("[Its stack is saved elsewhere: bt and bt full read it there; else print $saved(VARIABLE)]\n")
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
Saved()
Gcore()
gdb.events.cont.connect(lambda _: View.set(None) if View.coroutine else None)
for event in (gdb.events.new_objfile, gdb.events.exited):  # other modules, other tables
    event.connect(lambda _: setattr(View, "tables", None))
InfoCoroutines()
CoroutineCommand()
CoroutineApply()

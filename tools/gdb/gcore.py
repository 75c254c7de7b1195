class Gcore(gdb.Command):
    """Save a core file with the current state of the debugged process: gcore [FILE]
As generate-core-file, which gives up on a mapping at the first page that can't be read; guards lie between the stacks of coroutines.
Here the pages behind them are added, and elastic stacks that are saved elsewhere are put in their places."""

    PRESENT = 1 << 63  # in /proc/PID/pagemap (proc_pid_pagemap(5))

    def __init__(self):
        super().__init__("gcore", gdb.COMMAND_FILES, gdb.COMPLETE_FILENAME)

    def invoke(self, argument, from_tty):
        said = gdb.execute(f"generate-core-file {argument}".strip(), from_tty, to_string=True)
        pid = gdb.selected_inferior().pid
        try:
            coroutines = Interface().coroutines()
        except Problem:  # a process without the library: as gdb does it
            coroutines = []
        stacks = [place for coroutine in coroutines for place in (coroutine.fs_base, coroutine.stack_pointer)]
        said = "".join(line for line in said.splitlines(True) if not stacks or "Memory read failed" not in line)
        gdb.write(said)
        if stacks:
            with open(argument.strip() or f"core.{pid}", "r+b") as core:
                for segment in self.segments(core):
                    if any(segment[0] <= stack < segment[0] + segment[2] for stack in stacks):
                        self.fill(core, pid, *segment)
                        self.put_back(core, coroutines, *segment)

    @staticmethod
    def segments(core):
        """Those with contents: address, place in the file, size (elf(5))."""
        header = core.read(64)
        table, entry_size, count = struct.unpack_from("<Q", header, 32)[0], *struct.unpack_from("<HH", header, 54)
        core.seek(table)
        for entry in struct.iter_unpack("<IIQQQQQQ", core.read(entry_size * count)):
            if entry[0] == 1 and entry[5]:
                yield entry[3], entry[2], entry[5]

    def fill(self, core, pid, address, offset, size):
        pages = size // 4096
        with open(f"/proc/{pid}/pagemap", "rb") as file:
            file.seek(address // 4096 * 8)
            present = [entry & self.PRESENT for (entry,) in struct.iter_unpack("<Q", file.read(8 * pages))]
        for page in (index for index, there in enumerate(present) if there):
            try:
                contents = read(address + 4096 * page, 4096)
            except gdb.MemoryError:  # a guard
                continue
            core.seek(offset + 4096 * page)
            core.write(contents)

    @staticmethod
    def put_back(core, coroutines, address, offset, size):
        for stack in (coroutine.memory for coroutine in coroutines if coroutine.saved):
            if address <= stack.low and stack.low + stack.size <= address + size:
                core.seek(offset + stack.low - address)
                core.write(stack.read(stack.low, stack.size))

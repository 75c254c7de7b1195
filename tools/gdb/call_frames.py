"""How to get from one frame's registers to its caller's, by the modules' .eh_frame (LSB 5.0, 10.6; DWARF 5, 6.4), with the stack
read from where its bytes are saved. gdb's own unwinder can do the former, but reads stacks only where they belong. The same in
C++, for the dump: runtime/diag/call_frame.cpp and frame_step.cpp."""

# x86-64's DWARF numbering (psABI, figure 3.36).
DWARF_NAMES = ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip")
RSP, RIP = 7, 16
SAME, UNDEFINED, OFFSET, VALUE_OFFSET, REGISTER, EXPRESSION, VALUE_EXPRESSION = range(7)


class Cursor:
    """Reads numbers one after the other from the process's memory, which gdb takes from the files where it can."""

    def __init__(self, address, size=0):
        self.at, self.bytes, self.start = address, b"", address
        self.ensure(size)

    def ensure(self, size):
        missing = self.at + size - (self.start + len(self.bytes))
        if missing > 0:
            self.bytes += read(self.start + len(self.bytes), missing)

    def number(self, size, signed=False):
        self.ensure(size)
        first = self.at - self.start
        self.at += size
        return int.from_bytes(self.bytes[first:first + size], "little", signed=signed)

    def leb(self, signed=False):
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value - (1 << shift) if signed and byte & 64 else value

    def encoded(self, encoding, header):
        """DW_EH_PE: low four bits the form, next three what it is relative to."""
        here = self.at
        form = encoding & 15
        if form in (1, 9):
            value = self.leb(form == 9)
        else:
            value = self.number({0: 8, 2: 2, 3: 4, 4: 8, 10: 2, 11: 4, 12: 8}[form], form >= 10)
        if value == 0:
            return 0
        return (value + {0x10: here, 0x30: header}.get(encoding & 0x70, 0)) % (1 << 64)


class Rules:
    """What holds at one address."""

    def __init__(self):
        self.cfa = (None, 0)  # register and offset; or (None, address of an expression)
        self.registers = {}  # number: (kind, value); missing: the same
        self.begin = 0  # of the function
        self.signal_frame = False


class CallFrames:
    """The tables of all modules."""

    def __init__(self):
        self.headers = []  # (lowest, highest address of the module, its .eh_frame_hdr)
        self.known = {}
        self.read_sections()

    def read_sections(self):
        modules, in_core = {}, False
        for line in gdb.execute("info files", to_string=True).splitlines():
            words = line.split()
            if line.endswith(":"):  # a heading: one for each file
                in_core = "core dump" in line
            if in_core or len(words) < 5 or words[1] != "-" or words[3] != "is":
                continue
            low, high = int(words[0], 16), int(words[2], 16)
            module = modules.setdefault(line.partition(" in ")[2], [low, high, 0])
            module[0], module[1] = min(module[0], low), max(module[1], high)
            if words[4] == ".eh_frame_hdr":
                module[2] = low
        self.headers = [tuple(module) for module in modules.values() if module[2]]

    def rules_for(self, address):
        """None: no table covers it."""
        if address not in self.known:
            self.known[address] = self.find(address)
        return self.known[address]

    def find(self, address):
        for low, high, header in self.headers:
            if low <= address < high:
                try:
                    entry = self.find_entry(header, address)
                    return self.interpret(entry, header, address) if entry else None
                except (gdb.MemoryError, KeyError, IndexError):
                    return None
        return None

    @staticmethod
    def find_entry(header, address):
        """By the table of .eh_frame_hdr: pairs of 32-bit distances from it, sorted."""
        cursor = Cursor(header, 16)
        version, frame, count, table = (cursor.number(1) for _ in range(4))
        cursor.encoded(frame, header)
        low, high = 0, cursor.encoded(count, header)
        if version != 1 or table != 0x3b or high == 0:
            return None

        def distance(index, column):
            return header + int.from_bytes(read(cursor.at + 8 * index + 4 * column, 4), "little", signed=True)

        while high - low > 1:
            middle = (low + high) // 2
            if distance(middle, 0) <= address:
                low = middle
            else:
                high = middle
        return distance(low, 1) if distance(low, 0) <= address else None

    @staticmethod
    def interpret(entry, header, address):
        cursor = Cursor(entry, 4)
        end = cursor.number(4) + cursor.at
        cursor.ensure(end - cursor.at)
        common = Cursor(cursor.at - cursor.number(4), 4)  # of the CIE
        common_end = common.number(4) + common.at
        common.ensure(common_end - common.at)
        common.number(4)
        version, augmentation = common.number(1), ""
        while byte := common.number(1):
            augmentation += chr(byte)
        code, data = common.leb(), common.leb(True)
        if version == 1:
            common.number(1)
        else:
            common.leb()
        encoding, rules = 0, Rules()
        if augmentation[:1] == "z":
            size = common.leb()
            initial = common.at + size
            for letter in augmentation[1:]:
                if letter == "R":
                    encoding = common.number(1)
                elif letter == "L":
                    common.number(1)
                elif letter == "P":
                    common.encoded(common.number(1), header)
                elif letter == "S":
                    rules.signal_frame = True
            common.at = initial
        rules.begin = cursor.encoded(encoding, header)
        if not rules.begin <= address < rules.begin + cursor.encoded(encoding & 15, header):
            return None
        if augmentation[:1] == "z":
            size = cursor.leb()
            cursor.at += size
        run(common, common_end, code, data, rules, {}, 1 << 64)
        run(cursor, end, code, data, rules, dict(rules.registers), address)
        return rules


def run(cursor, end, code, data, rules, initial, address):
    """The instructions that apply before `address`."""
    location, states = rules.begin, []

    def expression():
        at = cursor.at
        size = cursor.leb()
        cursor.at += size
        return at

    def rule(which, kind, value=0):
        rules.registers[which] = (kind, value)

    def restore(which):
        rules.registers.pop(which, None)
        if which in initial:
            rules.registers[which] = initial[which]

    while cursor.at < end and location <= address:
        byte = cursor.number(1)
        operand = byte & 63
        if byte >> 6 == 1:
            location += operand * code
        elif byte >> 6 == 2:
            rule(operand, OFFSET, cursor.leb() * data)
        elif byte >> 6 == 3:
            restore(operand)
        elif byte == 0x01:  # set_loc: not made by today's compilers
            raise KeyError(byte)
        elif byte in (0x02, 0x03, 0x04):
            location += cursor.number(1 << (byte - 2)) * code
        elif byte in (0x05, 0x11):
            which = cursor.leb()
            rule(which, OFFSET, cursor.leb(byte == 0x11) * data)
        elif byte == 0x06:
            restore(cursor.leb())
        elif byte == 0x07:
            rule(cursor.leb(), UNDEFINED)
        elif byte == 0x08:
            rule(cursor.leb(), SAME)
        elif byte == 0x09:
            which = cursor.leb()
            rule(which, REGISTER, cursor.leb())
        elif byte == 0x0a:
            states.append((rules.cfa, dict(rules.registers)))
        elif byte == 0x0b:
            rules.cfa, rules.registers = states.pop()
        elif byte == 0x0c:
            which = cursor.leb()
            rules.cfa = (which, cursor.leb())
        elif byte == 0x12:
            which = cursor.leb()
            rules.cfa = (which, cursor.leb(True) * data)
        elif byte == 0x0d:
            rules.cfa = (cursor.leb(), rules.cfa[1])
        elif byte == 0x0e:
            rules.cfa = (rules.cfa[0], cursor.leb())
        elif byte == 0x13:
            rules.cfa = (rules.cfa[0], cursor.leb(True) * data)
        elif byte == 0x0f:
            rules.cfa = (None, expression())
        elif byte in (0x10, 0x16):
            which = cursor.leb()
            rule(which, EXPRESSION if byte == 0x10 else VALUE_EXPRESSION, expression())
        elif byte in (0x14, 0x15):
            which = cursor.leb()
            rule(which, VALUE_OFFSET, cursor.leb(byte == 0x15) * data)
        elif byte == 0x2e:  # GNU_args_size
            cursor.leb()


def evaluate(at, registers, memory, first=None):
    """A DWARF expression of those that .eh_frame has: signal frames, the PLT. KeyError: one of another kind."""
    cursor = Cursor(at, 1)
    size = cursor.leb()
    end, stack = cursor.at + size, [] if first is None else [first]
    forms = {0x08: (1, False), 0x09: (1, True), 0x0a: (2, False), 0x0b: (2, True), 0x0c: (4, False), 0x0d: (4, True), 0x0e: (8, False)}
    operations = {0x1a: lambda a, b: a & b, 0x1c: lambda a, b: a - b, 0x1e: lambda a, b: a * b, 0x21: lambda a, b: a | b,
                  0x22: lambda a, b: a + b, 0x24: lambda a, b: a << b, 0x25: lambda a, b: a >> b, 0x2a: lambda a, b: int(a >= b)}
    while cursor.at < end:
        byte = cursor.number(1)
        if 0x30 <= byte <= 0x4f:
            stack.append(byte - 0x30)
        elif 0x70 <= byte <= 0x8f:
            stack.append(registers[DWARF_NAMES[byte - 0x70]] + cursor.leb(True))
        elif byte in forms:
            stack.append(cursor.number(*forms[byte]))
        elif byte == 0x06:
            stack.append(memory.word(stack.pop()))
        elif byte == 0x12:
            stack.append(stack[-1])
        elif byte == 0x23:
            stack.append(stack.pop() + cursor.leb())
        else:
            b, a = stack.pop(), stack.pop()
            stack.append(operations[byte](a, b))
        stack[-1] %= 1 << 64
    return stack[-1]


def caller_of(rules, registers, memory):
    """Gives the frame's canonical address and the caller's registers, or None where nobody called."""
    which, offset = rules.cfa
    cfa = evaluate(offset, registers, memory) if which is None else registers[DWARF_NAMES[which]] + offset
    caller = {}
    for index, name in enumerate(DWARF_NAMES):
        kind, value = rules.registers.get(index, (SAME, 0))
        if kind == OFFSET:
            caller[name] = memory.word(cfa + value)
        elif kind == VALUE_OFFSET:
            caller[name] = cfa + value
        elif kind == EXPRESSION:
            caller[name] = memory.word(evaluate(value, registers, memory, cfa))
        elif kind == VALUE_EXPRESSION:
            caller[name] = evaluate(value, registers, memory, cfa)
        elif kind == SAME and index == RSP:
            caller[name] = cfa
        elif kind in (SAME, REGISTER) and index != RIP:
            source = DWARF_NAMES[value] if kind == REGISTER else name
            if source in registers:
                caller[name] = registers[source]
    return (cfa, caller) if caller.get("rip") else None

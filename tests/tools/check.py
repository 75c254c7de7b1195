#!/usr/bin/env python3
"""coshim check on programs made here, one a kind, and on the distribution's."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

import tool

options = tool.parse(__doc__)
tool.need("gcc")

THREAD = "#include <pthread.h>\nvoid* f(void* a) { return a; }\n"
MAIN = "pthread_t t; pthread_create(&t, 0, f, 0); pthread_join(t, 0);"
INLINE = """
#define CALL(name, number) __attribute__((noinline)) static long name(long a, void* b, long c) { long r; \\
  __asm__ volatile("syscall" : "=a"(r) : "0"(number##L), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory"); return r; }
CALL(my_read, 0) CALL(my_futex, 202) CALL(my_ring, 426) CALL(my_getpid, 39)
"""


def build(directory, name, source, *flags):
    path = os.path.join(directory, name)
    made = subprocess.run(["gcc", "-x", "c", "-", "-o", path, *flags], input=source, text=True, capture_output=True, check=False)
    return path if made.returncode == 0 else None


def report(path, status):
    result = tool.run(options.launcher, "check", "--json", path)
    tool.expect(result.returncode == status, f"{path}: status {result.returncode}, not {status}", result)
    text = tool.run(options.launcher, "check", path)
    tool.expect(text.returncode == status and text.stdout, "text", text)
    return json.loads(result.stdout)


def refused(path, word):
    answer = report(path, 1)
    tool.expect(not answer["works"] and word in answer["reason"], f"{path}: does not say {word}", answer)


def holds(path, *words):
    answer = report(path, 0)
    for word in words:
        tool.expect(any(word in line for line in answer["holds_kernel_thread"]), f"{path}: does not say {word}", answer)
    return answer


with tempfile.TemporaryDirectory() as directory:
    threaded = THREAD + "int main(void) { " + MAIN + " return 0; }"
    plain = build(directory, "threaded", threaded)
    tool.expect(plain, "gcc does not work")
    answer = report(plain, 0)
    tool.expect(answer["works"] and not answer["holds_kernel_thread"] and not answer["notes"], "a plain threaded program", answer)

    for name, flags in (("static", ["-static"]), ("static-pie", ["-static-pie"])):
        if static := build(directory, name, threaded, *flags):
            refused(static, "static")
            # What check says is what happens: no thread of a static program is ours.
    for sanitizer, word in (("address", "AddressSanitizer"), ("thread", "ThreadSanitizer")):
        if sanitized := build(directory, sanitizer, threaded, f"-fsanitize={sanitizer}"):
            refused(sanitized, word)
    if build(directory, "undefined", threaded, "-fsanitize=undefined"):
        tool.expect(report(os.path.join(directory, "undefined"), 0)["works"], "UBSan alone is no hindrance")
    for machine, name in ((183, "aarch64"), (243, "riscv")):
        path = os.path.join(directory, name)
        with open(plain, "rb") as source, open(path, "wb") as file:
            image = bytearray(source.read())
            image[18:20] = machine.to_bytes(2, "little")
            file.write(image)
        refused(path, "x86-64")
    with open(plain, "rb") as source, open(os.path.join(directory, "i386-program"), "wb") as file:
        image = bytearray(source.read())
        image[4], image[18] = 1, 3
        file.write(image)
    refused(os.path.join(directory, "i386-program"), "64-bit")
    os.chmod(plain, 0o644)
    tool.expect(any("executed" in note for note in report(plain, 0)["notes"]), "not executable")
    os.chmod(plain, 0o4755)
    tool.expect(any("setuid" in note for note in report(plain, 0)["notes"]), "setuid for others")
    os.chmod(plain, 0o755)
    # Made by the real compilers, where they are installed.
    for compiler, source, word in (("musl-gcc", "int main(void) { return 0; }", "musl"), ("aarch64-linux-gnu-gcc", "int main(void) { return 0; }", "x86-64")):
        if shutil.which(compiler):
            path = os.path.join(directory, "by-" + compiler)
            subprocess.run([compiler, "-x", "c", "-", "-o", path], input=source, text=True, check=True)
            refused(path, word)
    # As musl-gcc and Go's linker leave them: their mark is what counts.
    refused(build(directory, "musl", threaded, "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"), "musl")
    refused(build(directory, "go", threaded + '\n__attribute__((section(".go.buildinfo"))) char mark[8];'), "Go")
    setuid = build(directory, "setuid", threaded)
    os.chmod(setuid, 0o4755)
    if os.getuid() == 0:
        os.chown(setuid, 65534, 65534)
        os.chmod(setuid, 0o4755)
        refused(setuid, "setuid")
    for optimization in ("-O1", "-O2", "-O3"):
        source = THREAD + INLINE + "int main(void) { char b; " + MAIN + " return my_read(0, &b, 1) + my_futex(0, 0, 0) + my_getpid(0, 0, 0); }"
        answer = holds(build(directory, "inline", source, optimization, "-Wno-unused-function"), "read (1)", "futex (1)")
        tool.expect("getpid" not in str(answer), "a call that does not wait", answer)
    ring = build(directory, "ring", THREAD + INLINE + "int main(void) { " + MAIN + " return my_ring(0, 0, 0); }", "-O2")
    holds(ring, "io_uring_enter")
    resolve = "#include <netdb.h>\n" + THREAD + "int main(int n, char** v) { struct addrinfo* r; " + MAIN + " return getaddrinfo(v[0], 0, 0, &r) + n; }"
    holds(build(directory, "resolve", resolve), "getaddrinfo")
    none = report(build(directory, "none", "int main(void) { return 0; }"), 0)
    tool.expect(any("no threads" in note for note in none["notes"]), "a program without threads", none)

    script = os.path.join(directory, "script")
    with open(script, "w", encoding="ascii") as file:
        file.write(f"#!{plain} -x\n")
    tool.expect(report(script, 0)["program"] == plain, "a script's interpreter")
    for name, content in (("empty", b""), ("text", b"hello\n"), ("cut", open(plain, "rb").read(100)),
                          ("loop", f"#!{directory}/loop\n".encode())):
        path = os.path.join(directory, name)
        with open(path, "wb") as file:
            file.write(content)
        tool.expect(not report(path, 1)["works"], f"{name} is a program?")
    # Whatever is wrong with a file: an answer, never a crash.
    whole = open(plain, "rb").read()
    for i in range(0, 200):
        broken = bytearray(whole)
        for at in range(16 + i, min(len(broken), 16 + i + 8)):
            broken[at] = (broken[at] + 255 - i) & 255
        path = os.path.join(directory, "broken")
        with open(path, "wb") as file:
            file.write(broken)
        result = tool.run(options.launcher, "check", path)
        tool.expect(result.returncode in (0, 1), f"broken at {16 + i}", result)

python = report(sys.executable, 0)
tool.expect(python["works"], "python3", python)
print("as they should be")

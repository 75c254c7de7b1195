#!/usr/bin/env python3
"""glibc's own tests of threads (nptl/, sysdeps/pthread/ and the like, Debian's source package), each natively and
under the library, and what differs.

    glibc.py --lib build/libcoshim.so --work /var/tmp/glibc-tests [--tests 'tst-cond*'] [--workers 1,4] [--repeat 1]

Tests that need glibc's build tree or its internals do not compile here and are left out; those that do not pass
natively here (privilege, kernel, machine) are compared all the same, but not counted.
"""

import argparse
import concurrent.futures
import fnmatch
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile

from source_package import source_tree

VERSION = "2.36"
DIRECTORIES = ["nptl", "sysdeps/pthread", "sysdeps/unix/sysv/linux", "rt", "elf", "dlfcn", "stdlib", "malloc", "misc", "signal",
               "posix", "time", "io"]
# Of the directories that are not about threads: what has to do with them.
THREADED = re.compile(r"pthread|<threads\.h>|sem_|timer_|xthread\.h|quick_exit|sigwait|clock_|atfork|TLS|__thread")
# What docs/limits.md says.
KNOWN = {"tst-tgkill": "a signal from another process by a thread's number",
         "tst-pthread_cancel-exited": "counts /proc/self/task"}
# Headers of glibc's tree that stand for themselves.
HEADERS = ["include/array_length.h", "include/libc-diag.h", "include/intprops.h", "include/libc-pointer-arith.h"]
# What the tests and their support library take from glibc's build.
PRELUDE = """
#define _GNU_SOURCE 1
#define attribute_hidden
#define libc_hidden_def(name)
#define libc_hidden_proto(name)
#define weak_alias(a, b)
#define IS_IN(module) 0
#define SHARED 1
#define PREPARE_TIMEOUT_FACTOR 1
#include <stddef.h>
#include <sys/cdefs.h>
#define __set_errno(value) (errno = (value))
#define INTERNAL_SYSCALL_CALL(name, ...) syscall(__NR_##name, ##__VA_ARGS__)
#define INLINE_SYSCALL_CALL(name, ...) syscall(__NR_##name, ##__VA_ARGS__)
#define TIMEOUTFACTOR 3
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#define time64_t time_t
#define __timespec64 timespec
#define __time64_t time_t
#define __TIMESIZE 64
"""
FLAGS = ["-std=gnu11", "-O1", "-g", "-w", "-include", "prelude.h", "-Iinclude", "-Iinclude/support", "-pthread",
         '-DOBJPFX="./"', '-DSUPPORT_STATIC="x"', "-U_FORTIFY_SOURCE"]


def shell(command, cwd):
    return subprocess.run(command, cwd=cwd, shell=isinstance(command, str), capture_output=True, text=True, errors="replace")


def prepare(work, tree):
    include = os.path.join(work, "include")
    os.makedirs(include, exist_ok=True)
    for header in HEADERS + ["support", "sysdeps", "posix", "stdlib", "test-skeleton.c"]:
        link = os.path.join(include, os.path.basename(header))
        if not os.path.lexists(link):
            os.symlink(os.path.join(tree, header), link)
    with open(os.path.join(work, "prelude.h"), "w") as out:
        out.write(PRELUDE)
    # The support library's own of what glibc's build has.
    for name, text in (("config.h", ""), ("shlib-compat.h", ""), ("first-versions.h", ""), ("libc-internal.h", ""),
                       ("libc-symbols.h", ""), ("sysdep.h", "#include <sys/syscall.h>\n#include <unistd.h>\n"),
                       ("kernel-features.h", ""),
                       ("elf/dl-tunables.h", "#define TUNABLE_GET_FULL(top, name, id, type, callback) ((type)0)\n"), ("stackinfo.h", "#include <elf.h>\n#define _STACK_GROWS_DOWN 1\n#define DEFAULT_STACK_PERMS 6\n"),
                       ("pthreaddef.h", "#define ARCH_STACK_DEFAULT_SIZE (2 * 1024 * 1024)\n"), ("tst-stack-align.h", None)):
        if text is None:
            text = open(os.path.join(tree, "sysdeps/generic/tst-stack-align.h")).read()
        os.makedirs(os.path.dirname(os.path.join(include, name)), exist_ok=True)
        with open(os.path.join(include, name), "w") as out:
            out.write(text)


def build_support(work, tree):
    library = os.path.join(work, "libsupport.a")
    if os.path.exists(library):
        return library
    objects = os.path.join(work, "support-objects")
    os.makedirs(objects, exist_ok=True)

    def build(source):
        name = os.path.basename(source)[:-2]
        result = os.path.join(objects, name + ".o")
        done = shell(["gcc", *FLAGS, "-fexceptions", "-c", source, "-o", result], work)
        return result if done.returncode == 0 else None

    sources = [s for s in glob.glob(os.path.join(tree, "support", "*.c"))
               if not re.match(r"(tst-|test-(run|container|driver)|echo-|false-|true-|shell-|links-|README)", os.path.basename(s))]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        built = [result for result in pool.map(build, sources) if result]
    # The paths of glibc's build tree, and what did not compile without it.
    with open(os.path.join(work, "paths.c"), "w") as out:
        out.write('const char support_srcdir_root[] = "%s";\nconst char support_objdir_root[] = "%s";\n'
                  'const char support_install_prefix[] = "/usr";\nconst char support_libdir_prefix[] = "/lib";\n'
                  'const char support_bindir_prefix[] = "/bin";\nconst char support_sbindir_prefix[] = "/sbin";\n'
                  'const char support_complocaledir_prefix[] = "/usr/lib/locale";\n'
                  'const char support_install_rootsbindir[] = "/sbin";\n' % (tree, work))
    shell(["gcc", "-c", "paths.c", "-o", os.path.join(objects, "paths.o")], work)
    built.append(os.path.join(objects, "paths.o"))
    shell(["ar", "rcs", library, *built], work)
    return library


def build_modules(work, tree):
    """What tests open by name: each file *mod*.c is a library."""
    programs = os.path.join(work, "programs")
    os.makedirs(programs, exist_ok=True)
    for directory in ("nptl", "sysdeps/pthread", "elf"):
        for source in glob.glob(os.path.join(tree, directory, "tst-*mod*.c")):
            library = os.path.join(programs, os.path.basename(source)[:-2] + ".so")
            if not os.path.exists(library):
                shell(["gcc", *FLAGS, "-shared", "-fPIC", f"-I{os.path.dirname(source)}", "-o", library, source], work)


def is_of_interest(directory, source):
    if directory in ("nptl", "sysdeps/pthread"):
        return True
    text = open(source, errors="replace").read()
    return bool(THREADED.search(text))


def build_tests(work, tree, library, patterns):
    programs = os.path.join(work, "programs")
    os.makedirs(programs, exist_ok=True)
    sources = {}
    for directory in DIRECTORIES:
        for source in sorted(glob.glob(os.path.join(tree, directory, "t*st-*.c")) + glob.glob(os.path.join(tree, directory, "test-*.c"))):
            name = os.path.basename(source)[:-2]
            if name in sources or not any(fnmatch.fnmatch(name, p) for p in patterns):
                continue
            if "mod" in name.split("-")[-1] and not name.endswith(("mode", "model")):
                continue
            if is_of_interest(directory, source):
                sources[name] = source

    def build(item):
        name, source = item
        program = os.path.join(programs, name)
        if os.path.exists(program + ".error"):
            return None
        if os.path.exists(program):
            return name
        # As glibc's makefiles: only the variants of these tests that have an x.
        unwinding = ["-fexceptions"] if re.search(r"(cancel|cleanup|once|signal)x", name) else []
        done = shell(["gcc", *FLAGS, *unwinding, f"-I{os.path.dirname(source)}", f"-iquote{tree}/sysdeps/unix/sysv/linux",
                      f"-I{tree}/sysdeps/pthread", f"-I{tree}/nptl", "-I" + tree + "/rt",
                      "-o", program, source, library, "-lrt", "-ldl", "-lm", "-rdynamic"], work)
        if done.returncode == 0:
            return name
        with open(program + ".error", "w") as out:
            out.write(done.stderr)
        return None

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        built = [name for name in pool.map(build, sources.items()) if name]
    print(f"{len(built)} of {len(sources)} tests compile on their own", flush=True)
    return built, programs


def end_session(leader):
    """The tests' driver makes a process group of its own for each test, but no session."""
    for entry in glob.glob("/proc/[0-9]*/stat"):
        try:
            fields = open(entry).read().rsplit(")", 1)[1].split()
            if int(fields[3]) == leader:
                os.kill(int(entry.split("/")[2]), signal.SIGKILL)
        except (OSError, IndexError):
            pass


def run(programs, name, limit, environment):
    """pass, fail, unsupported, signal N or hung; and what it printed."""
    with tempfile.TemporaryDirectory() as directory:
        open(os.path.join(directory, "Makefile"), "w").close()  # some tests read it
        printed = os.path.join(directory, "output")
        with open(printed, "wb") as out:  # no pipe: what a test leaves behind might hold it open
            process = subprocess.Popen([os.path.join(programs, name)], cwd=directory, env=environment, stdout=out,
                                       stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        end_session(process.pid)
        process.wait()
        output = open(printed, errors="replace").read()
    if code is None:
        return "hung", output
    if "imed out" in output:
        return "hung", output
    return {0: "pass", 77: "unsupported"}.get(code, f"signal {-code}" if code < 0 else "fail"), output


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", required=True)
    parser.add_argument("--work", default="/var/tmp/coshim-glibc-tests")
    parser.add_argument("--tests", default="*", help="globs, separated by commas")
    parser.add_argument("--workers", default="1,4")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the preloaded runs")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=150)
    parser.add_argument("--short", action="store_true", help="the form that CI runs: locks, conditions, cancellation")
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    tree = source_tree("glibc", f"glibc-{VERSION}", options.work)
    prepare(options.work, tree)
    library = build_support(options.work, tree)
    patterns = options.tests.split(",")
    if options.short:
        patterns = ["tst-mutex*", "tst-cond*", "tst-rwlock*", "tst-barrier*", "tst-sem*", "tst-robust*", "tst-cancel*", "tst-key*"]
    build_modules(options.work, tree)
    names, programs = build_tests(options.work, tree, library, patterns)
    clean = {"LD_LIBRARY_PATH": programs} | {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_") and k != "LD_PRELOAD"}
    different = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        native = dict(zip(names, pool.map(lambda n: run(programs, n, options.timeout, clean), names)))
        for name in names:
            if native[name][0] not in ("pass", "unsupported"):
                print(f"  natively {native[name][0]}: {name}", flush=True)
        for workers in options.workers.split(","):
            shim = dict(clean, LD_PRELOAD=os.path.abspath(options.lib), COSHIM_WORKERS=workers)
            shim.update(setting.split("=", 1) for setting in options.set)
            for _ in range(options.repeat):
                results = dict(zip(names, pool.map(lambda n: run(programs, n, options.timeout, shim), names)))
                same = 0
                for name in names:
                    if results[name][0] == native[name][0]:
                        same += 1
                    else:
                        counted = native[name][0] in ("pass", "unsupported") and name not in KNOWN
                        different += counted
                        print(f"  {'DIFFERENT' if counted else 'differs'}: {name}: natively {native[name][0]}, "
                              f"under the library {results[name][0]} {KNOWN.get(name, '')}\n    " + "\n    ".join(results[name][1].splitlines()[-6:]))
                print(f"{workers} workers: {same} of {len(names)} tests with the native result", flush=True)
    print(f"{different} differences")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()

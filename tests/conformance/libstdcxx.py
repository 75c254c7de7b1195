#!/usr/bin/env python3
"""libstdc++'s own tests of threads and atomics (testsuite/30_threads and 29_atomics of Debian's gcc-12 source package), each natively and
under the library, and what differs.

    libstdcxx.py --lib build/libcoshim.so --work /var/tmp/libstdcxx-tests [--tests '30_threads/*'] [--workers 1,4] [--repeat 1]
                 [--set COSHIM_STACK_IDLE=5ms]

Run are those that their authors run (dg-do run), with the options that they ask for.
"""

import argparse
import concurrent.futures
import fnmatch
import glob
import os
import re
import subprocess
import sys
import tarfile

from source_package import source_archive

PACKAGE = "gcc-12"
DIRECTORIES = ["30_threads", "29_atomics"]


def test_suite(work):
    """Unpacked: the source package is an archive with gcc's in it, of which a hundredth is needed."""
    found = glob.glob(os.path.join(work, "gcc-*", "libstdc++-v3", "testsuite"))
    if found:
        return found[0]
    with tarfile.open(source_archive(PACKAGE, work)) as outer:
        name = next(name for name in outer.getnames() if re.search(r"/gcc-[^/]*\.tar\.xz$", name))
        with tarfile.open(fileobj=outer.extractfile(name), mode="r|xz") as inner:
            for member in inner:
                if re.search(r"/libstdc\+\+-v3/testsuite/(30_threads|29_atomics|util)(/|$)", member.name):
                    inner.extract(member, work)
    return test_suite(work)


def options_of(text):
    """What dejagnu would give the compiler, or None for what is not run here."""
    run = re.search(r"\{\s*dg-do run(?:\s*\{\s*target (.*?)\}\s*\})?", text)
    if run is None:
        return None
    target = run[1] or ""
    options = ["-std=gnu++17", "-O2", "-g", "-w", "-pthread"]
    for asked in re.findall(r"\{\s*dg-(?:additional-)?options\s+\"([^\"]*)\"", text):
        options += asked.split()
    if "-static" in options or "ia32" in target:
        return None
    if "_only" in target:
        options.append("-std=gnu++14")
    elif re.search(r"c\+\+2a|c\+\+20", target + " ".join(re.findall(r"dg-require-effective-target (\S+)", text))) \
            and not any(option.startswith("-std=gnu++2") for option in options):
        options.append("-std=gnu++20")
    return options


def build_tests(suite, work, patterns):
    programs = os.path.join(work, "programs")
    os.makedirs(programs, exist_ok=True)
    tests = {}
    for directory in DIRECTORIES:
        for source in sorted(glob.glob(os.path.join(suite, directory, "**", "*.cc"), recursive=True)):
            name = os.path.relpath(source, suite)[:-3]
            with open(source, encoding="utf-8", errors="replace") as text:
                options = options_of(text.read())
            if options is not None and any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                tests[name] = (source, options)

    def build(item):
        name, (source, options) = item
        program = os.path.join(programs, name.replace("/", "."))
        if os.path.exists(program):
            return name, program
        done = subprocess.run(["g++", *options, f"-I{suite}/util", "-o", program, source, "-latomic"], cwd=work, capture_output=True,
                              text=True, errors="replace", check=False)
        if done.returncode != 0:
            print(f"  does not compile: {name}: " + "".join(re.findall(r".*error:.*", done.stderr)[:1]))
        return name, program if done.returncode == 0 else None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        built = {name: program for name, program in pool.map(build, tests.items()) if program}
    print(f"{len(built)} of {len(tests)} tests compile on their own", flush=True)
    return built


def run(program, environment, limit):
    try:
        done = subprocess.run([program], env=environment, timeout=limit, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    except subprocess.TimeoutExpired as late:
        return "hung", str(late.output or "")
    code = done.returncode
    return ("pass" if code == 0 else f"signal {-code}" if code < 0 else f"fails with {code}"), done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", required=True)
    parser.add_argument("--work", default="/var/tmp/coshim-libstdcxx-tests")
    parser.add_argument("--tests", default="*", help="globs, separated by commas")
    parser.add_argument("--workers", default="1,4")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the preloaded runs")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--timeout", type=float, default=60)
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    programs = build_tests(test_suite(options.work), options.work, options.tests.split(","))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_") and k != "LD_PRELOAD"}
    different = 0

    def run_all(environment):
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            return dict(zip(programs, pool.map(lambda program: run(program, environment, options.timeout), programs.values())))

    native = run_all(clean)
    for name, (result, _) in native.items():
        if result != "pass":
            print(f"  natively {result}: {name}", flush=True)
    for workers in options.workers.split(","):
        shim = dict(clean, LD_PRELOAD=os.path.abspath(options.lib), COSHIM_WORKERS=workers)
        shim.update(setting.split("=", 1) for setting in options.set)
        for _ in range(options.repeat):
            same = 0
            for name, (result, output) in run_all(shim).items():
                if result == native[name][0]:
                    same += 1
                    continue
                different += 1
                print(f"  DIFFERENT: {name}: natively {native[name][0]}, under the library {result}\n    "
                      + "\n    ".join(output.splitlines()[-6:]))
            print(f"{workers} workers: {same} of {len(programs)} tests with the native result", flush=True)
    print(f"{different} differences")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()

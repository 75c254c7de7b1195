#!/usr/bin/env python3
"""CPython's own test suite (Debian's libpython3.11-testsuite) natively and under the shim: the results, test by test.

  tests/conformance/cpython.py --lib build/libcoshim.so [--short] [--workers 1,4] [--repeat N] [MODULE...]

A test that natively fails, or hangs (its module's time runs out), is listed and left out of the comparison. Exit status 1: some
test has another result under the shim.
"""
import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile

PYTHON = "/usr/bin/python3.11"
DEFAULT = ["test_threading", "test_socket", "test_socketserver", "test_queue", "test_thread"]
SHORT = ["test_thread", "test_queue", "test_threading", "test_socketserver"]
# Wait for what a closed machine or a virtual one does not have, natively too.
NEVER = ["*VSOCK*", "*TestTipc*", "*testGetaddrinfo*", "*HostnameIDNA*", "*test_host_resolution*"]
LINE = re.compile(r"^(test\w*) \(([\w.]+)\)(?:.*?) \.\.\. (.*)$")
RESULT = re.compile(r"(ok|FAIL|ERROR|skipped.*|expected failure|unexpected success)$")


def run(module, lib, workers, limit, settings=()):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_") and k != "LD_PRELOAD"}
    dump = tempfile.mktemp(prefix="coshim-dump-")
    if lib:
        environment.update(LD_PRELOAD=lib, COSHIM_WORKERS=str(workers), COSHIM_DUMP_PATH=dump)
        environment.update(setting.split("=", 1) for setting in settings)
    # test_socketserver stays on the loopback, but asks for leave to use the network.
    command = [PYTHON, "-m", "test", "-v"] + (["-u", "network"] if module == "test_socketserver" else []) + [module]
    for pattern in NEVER:
        command += ["--ignore", pattern]
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(command, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        hung = False
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            hung = True
            if lib:
                process.send_signal(signal.SIGRTMAX - 1)
                try:
                    process.wait(3)
                except subprocess.TimeoutExpired:
                    pass
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
    if os.path.exists(dump):
        print(open(dump).read()[:20000])
        os.remove(dump)
    results = {}
    pending = None
    for line in output.splitlines():
        match = LINE.match(line)
        if match:
            pending = f"{match[2]}"
        result = RESULT.search(line)
        if pending and result:
            results[pending] = result[1].split(" ")[0]
            pending = None
    if hung:
        results["(module)"] = "hung"
        if pending:
            results[pending] = "hung"
    elif process.returncode != 0 and not any(r in ("FAIL", "ERROR") for r in results.values()):
        results["(module)"] = f"exit status {process.returncode}"
    return results


def compare(module, options):
    native = run(module, None, None, options.timeout)
    bad = {name: result for name, result in native.items() if result in ("FAIL", "ERROR", "hung") or name == "(module)"}
    for name, result in sorted(bad.items()):
        print(f"  natively {result}: {name}")
    if not native:
        print(f"{module}: no results natively: not understood")
        return 1
    different = 0
    for workers in options.workers.split(","):
        for _ in range(options.repeat):
            shim = run(module, options.lib, workers, options.timeout, options.set)
            same = 0
            for name in sorted(set(native) | set(shim)):
                if name in bad:
                    continue
                if native.get(name) == shim.get(name):
                    same += 1
                else:
                    different += 1
                    print(f"  DIFFERENT: {name}: natively {native.get(name)}, under the shim {shim.get(name)}")
            print(f"{module}: {workers} workers: {same} tests with the native result", flush=True)
    return different


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--lib", required=True)
    parser.add_argument("--workers", default="1,4")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=200, help="seconds for one module")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="e.g. COSHIM_STACK_IDLE=5ms")
    parser.add_argument("--short", action="store_true", help="the form that CI runs")
    options = parser.parse_args()
    if not os.path.exists(PYTHON) or subprocess.run([PYTHON, "-c", "import test.test_thread"], capture_output=True).returncode:
        print("skipped: libpython3.11-testsuite is not installed")
        sys.exit(77)
    options.lib = os.path.abspath(options.lib)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    modules = options.modules or (SHORT if options.short else DEFAULT)
    different = sum(compare(module, options) for module in modules)
    print(f"{different} differences")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()

"""What the tests of the tools share."""
import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time

SKIPPED = 77
LIMIT = 60


def parse(description, *more):
    """`more`: (option, default) pairs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--build", required=True)
    parser.add_argument("--source", required=True)
    for option, default in more:
        parser.add_argument(option, default=default)
    options = parser.parse_args()
    options.build, options.source = os.path.abspath(options.build), os.path.abspath(options.source)
    options.launcher = os.path.join(options.build, "coshim")
    options.library = os.path.join(options.build, "libcoshim.so")
    return options


def need(*programs):
    for program in programs:
        if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            print(f"skipped: {program} is not installed")
            sys.exit(SKIPPED)


def clean_environment(**more):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_") and k != "LD_PRELOAD"}
    environment["PATH"] = environment.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    environment.update(more)
    return environment


def run(*command, environment=None, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False,
                          env=environment or clean_environment(), **options)


def expect(condition, message, *shown):
    if not condition:
        for result in shown:
            print(result)
        raise SystemExit(f"FAILED: {message}")


def one_line(result, status, *words):
    """A refusal: that status, nothing on stdout, one line on stderr that has the words."""
    expect(result.returncode == status, f"status {result.returncode}, not {status}", result)
    expect(result.stdout == "", "something on stdout", result)
    expect(result.stderr.count("\n") == 1 and result.stderr.startswith("coshim"), "not one line", result)
    for word in words:
        expect(word in result.stderr, f"does not say {word}", result)


def until(condition, what):
    """Waits for what takes as long as the machine takes; only a hang fails."""
    end = time.time() + LIMIT
    while not (value := condition()):
        expect(time.time() < end, f"never: {what}")
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def running(*command, environment=None, **options):
    process = subprocess.Popen(command, env=environment or clean_environment(), stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()

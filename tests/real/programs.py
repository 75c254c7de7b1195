#!/usr/bin/python3
"""Unmodified programs behave under the preload as without: same output, same answers to their clients, same exit status.

programs.py --case NAME runs one case; without --case, all whose programs are installed.
"""

import asyncio
import os
import re
import subprocess

import harness
import cases_commands
import cases_scripts
import cases_servers
from harness import Failure

CASES = {**cases_commands.CASES, **cases_servers.CASES, **cases_scripts.CASES}


def run_case(case, mode, directory, timeout):
    """Runs one case in a fresh directory and returns its transcript, {what: bytes}."""
    scratch = os.path.join(directory, re.sub(r"\W", "-", mode.name))
    os.mkdir(scratch)
    try:
        if asyncio.iscoroutinefunction(case.run):
            transcript = asyncio.run(asyncio.wait_for(case.run(mode, scratch), timeout))
        else:
            transcript = case.run(mode, scratch, timeout)
    except (asyncio.TimeoutError, OSError) as error:
        raise Failure(f"{mode.name}: {type(error).__name__} {error}") from None
    # Where the case ran is no difference.
    return {what: text.replace(scratch.encode(), b"SCRATCH") for what, text in transcript.items()}


def test_case(name, arguments):
    case = CASES[name]
    for program in case.needs:
        harness.find_program(program)

    def body(directory):
        native = None
        for mode in harness.modes(arguments):
            transcript = run_case(case, mode, directory, arguments.timeout)
            if native is None:
                native = transcript
                case.check(transcript)
            harness.compare_answers(mode, native, transcript)
            print(f"{name}, {mode.name}: as natively", flush=True)

    harness.run_test(body)


def main():
    arguments = harness.parse_arguments(
        __doc__, lambda parser: parser.add_argument("--case", choices=sorted(CASES), help="this case only"))
    if arguments.case:
        test_case(arguments.case, arguments)
        return
    statuses = {}
    for name in CASES:
        command = [os.path.realpath(__file__), "--case", name, "--workers", *map(str, arguments.workers)]
        if arguments.lib:
            command += ["--lib", arguments.lib]
        statuses[name] = subprocess.run(command, check=False).returncode
    failed = [name for name, status in statuses.items() if status not in (0, harness.EXIT_SKIPPED)]
    if failed:
        raise SystemExit(f"FAILED: {', '.join(failed)}")


if __name__ == "__main__":
    main()

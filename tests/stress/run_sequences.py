#!/usr/bin/env python3
"""Plays random sequences (sequences.c) with one seed after another; stops at the first that fails, and names it."""

import argparse
import os
import random
import subprocess
import sys

HANG_SECONDS = 120


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("library")
    parser.add_argument("workers", help="a number, or native")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, help="the first seed; else one by chance")
    parser.add_argument("--steps", type=int, default=2000)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COSHIM_")}
    environment.pop("LD_PRELOAD", None)
    if arguments.workers != "native":
        environment.update(LD_PRELOAD=os.path.abspath(arguments.library), COSHIM_WORKERS=arguments.workers)
    first = arguments.first if arguments.first is not None else random.randrange(1 << 30)
    for seed in range(first, first + arguments.seeds):
        words = [arguments.program, str(seed), str(arguments.steps), str(2 + seed % 15)]
        try:
            run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            sys.exit(f"hangs: {' '.join(words)}")
        if run.returncode != 0:
            sys.exit(f"FAILED with status {run.returncode}: {' '.join(words)}\n{run.stdout}{run.stderr}")
        if run.stderr:
            sys.exit(f"stderr is not empty: {' '.join(words)}\n{run.stderr}")
    print(f"seeds {first} to {first + arguments.seeds - 1} passed")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""COSHIM_ONLY and COSHIM_SKIP: the preload is inherited by whole trees of processes; in which of them does it act?"""
import os
import shutil
import tempfile

import tool

options = tool.parse(__doc__)

# A thread's number above any that the kernel gives is a coroutine's (docs/limits.md).
PROGRAM = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void* number(void* result) { *(int*)result = gettid(); return NULL; }
static int tid;
int main(int count, char** arguments) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, number, &tid) != 0 || pthread_join(thread, NULL) != 0) return 1;
  const char* only = getenv("COSHIM_ONLY");
  printf("%s %s", tid > 4194304 ? "acts" : "native", only != NULL ? only : "-");
  fflush(stdout);
  if (count > 1) { printf(" "); fflush(stdout); execv(arguments[1], arguments + 1); }
  return 0;
}
"""


def build(directory):
    source = os.path.join(directory, "program.c")
    with open(source, "w", encoding="ascii") as out:
        out.write(PROGRAM)
    made = os.path.join(directory, "server")
    result = tool.run("cc", "-o", made, source, "-pthread")
    tool.expect(result.returncode == 0, "the program does not build", result)
    shutil.copy(made, os.path.join(directory, "helper"))


def expect_output(directory, expected, *command, **variables):
    environment = tool.clean_environment(LD_PRELOAD=options.library, **variables)
    result = tool.run(*[os.path.join(directory, name) for name in command], environment=environment)
    shown = result.stdout.replace(" -", "")
    tool.expect(result.returncode == 0 and result.stderr == "", f"{command} {variables}: fails", result)
    tool.expect(shown == expected, f"{command} {variables}: {shown!r} and not {expected!r}")


def main():
    tool.need("cc")
    with tempfile.TemporaryDirectory() as directory:
        build(directory)

        def expect(expected, *command, **variables):
            expect_output(directory, expected, *command, **variables)

        expect("acts", "server")
        expect("native", "server", COSHIM_SKIP="server")
        expect("native", "server", COSHIM_SKIP="other,serv*")
        expect("acts", "server", COSHIM_SKIP="other,serve")
        expect("acts server", "server", COSHIM_ONLY="server")
        expect("acts s?rver", "server", COSHIM_ONLY="s?rver")
        expect("native helper", "server", COSHIM_ONLY="helper")
        expect("native s*", "server", COSHIM_ONLY="s*", COSHIM_SKIP="*er")
        # What one program executes: the variables are passed on, and each decides for itself.
        expect("acts acts", "server", "helper")
        expect("acts native", "server", "helper", COSHIM_SKIP="helper")
        expect("native acts", "server", "helper", COSHIM_SKIP="server")
        expect("native acts", "helper", "server", COSHIM_SKIP="helper")
        expect("native server acts server", "helper", "server", COSHIM_ONLY="server")
        expect("acts server native server", "server", "helper", COSHIM_ONLY="server")
        expect("native native", "server", "helper", COSHIM_DISABLE="1")
    print("as told")


main()

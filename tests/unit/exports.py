#!/usr/bin/env python3
"""The library's face: exports what hooks.def names, coshim_version, coshim_debugger and __asan_default_options, nothing else, without versions; needs libc alone; every
hooked name exists in libc, and so do not hooked twins (__name_chk, name64, __name) only where hooks-unneeded.tsv says why.

  exports.py LIBRARY HOOKS_DEF HOOKS_UNNEEDED
"""
import re
import subprocess
import sys

library, definitions, unneeded = sys.argv[1:]
failures = []


def symbols(path):
    output = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in output.splitlines()}


hooks = set()
for line in open(definitions):
    match = re.match(r"COSHIM_(HOOK|TWIN)\((.*)", line)
    if match:
        parts = match[2].split(", ")
        hooks.add(parts[1] if match[1] == "TWIN" else parts[2])
excused = {line.split("\t")[0] for line in open(unneeded)}

exported = symbols(library)
for name in sorted(exported - hooks - {"coshim_version", "coshim_debugger", "__asan_default_options"}):
    failures.append(f"exported, but not in hooks.def: {name}")
for name in sorted(hooks - exported):
    failures.append(f"in hooks.def, but not exported: {name}")

libc = next(line.split()[2] for line in subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True).stdout.splitlines()
            if "libc.so" in line)
in_libc = {name.split("@")[0] for name in symbols(libc)}
for name in sorted(hooks - in_libc):
    failures.append(f"hooked, but not in libc: {name}")
for name in sorted(hooks):
    base = name.strip("_").removesuffix("_chk").removesuffix("64")
    for twin in (f"__{base}_chk", f"{base}64", f"__{base}", f"__{base}64"):
        if twin in in_libc and twin not in hooks and twin not in excused:
            failures.append(f"{name} is hooked, its twin {twin} is not, and hooks-unneeded.tsv does not say why")

dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
if [n for n in needed if n not in ("libc.so.6", "ld-linux-x86-64.so.2")]:
    failures.append(f"needs more than libc: {needed}")
if "TEXTREL" in dynamic:
    failures.append("has text relocations")
version = subprocess.run([library], capture_output=True, text=True)
if version.returncode != 0 or not version.stdout.startswith("coshim "):
    failures.append("does not print its version when run as a program")

print("\n".join(sorted(set(failures))) or f"{len(hooks)} hooks, as they should be")
sys.exit(1 if failures else 0)

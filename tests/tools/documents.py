#!/usr/bin/env python3
"""The manual pages are without warnings and name every command, option and variable; links in the documents lead somewhere."""
import glob
import json
import os
import re
import subprocess

import tool

options = tool.parse(__doc__)

pages = {name: os.path.join(options.build, "tools/man", name) for name in ("coshim.1", "libcoshim.7")}
text = {}
for name, path in pages.items():
    with open(path, encoding="utf-8") as file:
        text[name] = file.read().replace("\\-", "-")
    if tool.shutil.which("groff"):
        result = tool.run("groff", "-man", "-ww", "-z", "-rCHECKSTYLE=3", "-Tutf8", path)
        tool.expect(result.returncode == 0 and not result.stderr, f"{name} has warnings", result.stderr)

for row in json.loads(tool.run(options.launcher, "env", "--json").stdout):
    tool.expect(row["name"] in text["libcoshim.7"] and row["meaning"] in text["libcoshim.7"], f"{row['name']} is not in libcoshim.7")
with open(os.path.join(options.source, "docs/configuration.md"), encoding="utf-8") as file:
    configuration = file.read()
for row in json.loads(tool.run(options.launcher, "env", "--json").stdout):
    tool.expect(f"`{row['name']}`" in configuration or row["name"] in configuration, f"{row['name']} is not in docs/configuration.md")
with open(os.path.join(options.source, "tools/completion/coshim.bash"), encoding="utf-8") as file:
    completion = file.read()
for command in ("run", "dump", "top", "stats", "check", "env"):
    tool.expect(f"coshim {command}" in text["coshim.1"], f"{command} is not in coshim.1")
    for option in set(re.findall(r"--[a-z]+\b", tool.run(options.launcher, command, "--help").stdout)):
        if command == "run" and option not in ("--quiet", "--print"):
            continue  # variables
        tool.expect(option in text["coshim.1"], f"coshim {command} {option} is not in coshim.1")
        tool.expect(option in completion, f"coshim {command} {option} is not completed")

documents = glob.glob(os.path.join(options.source, "docs/*.md")) + glob.glob(os.path.join(options.source, "*.md"))
for path in documents:
    with open(path, encoding="utf-8") as file:
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", file.read()):
            if "://" not in link:
                target = os.path.join(os.path.dirname(path), link)
                tool.expect(os.path.exists(target), f"{os.path.basename(path)}: {link} is not there")

if tool.shutil.which("bash"):
    tool.expect(subprocess.run(["bash", "-n", os.path.join(options.source, "tools/completion/coshim.bash")], check=False).returncode == 0,
                "the completion is no bash")
print(f"{len(documents)} documents, as they should be")

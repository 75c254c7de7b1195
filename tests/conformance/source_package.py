"""The source tree of a Debian package, from where this machine has its packages."""

import glob
import os
import re
import subprocess
import sys
import tarfile


def debian_sources():
    """What this machine takes Debian's packages from, as lines for their sources (sources.list(5), both formats)."""
    with open("/etc/os-release", encoding="ascii") as release:
        codename = re.search(r"^VERSION_CODENAME=(\w+)", release.read(), re.M)[1]
    entries = []  # options, URI, suite, components
    for name in ["/etc/apt/sources.list", *glob.glob("/etc/apt/sources.list.d/*.list")]:
        if os.path.exists(name):
            with open(name, encoding="utf-8") as lines:
                entries += re.findall(r"^deb\s+(\[.*?\])?\s*(\S+)\s+(\S+)\s+(.*)$", lines.read(), re.M)
    for name in glob.glob("/etc/apt/sources.list.d/*.sources"):
        with open(name, encoding="utf-8") as text:
            for stanza in re.split(r"\n\s*\n", text.read()):
                field = dict(re.findall(r"^([\w-]+):\s*(.*)$", stanza, re.M))
                signed = f"[signed-by={field['Signed-By']}]" if "Signed-By" in field else ""
                entries += [(signed, uri, suite, field.get("Components", "main")) for uri in field.get("URIs", "").split()
                            for suite in field.get("Suites", "").split()]
    return "".join(f"deb-src {options} {uri} {suite} {components}\n" for options, uri, suite, components in entries
                   if suite.split("-")[0] == codename)


def download(package, work):
    sources = os.path.join(work, "sources.list")
    with open(sources, "w", encoding="utf-8") as out:
        out.write(debian_sources())
    lists = os.path.join(work, "lists")
    os.makedirs(os.path.join(lists, "partial"), exist_ok=True)
    apt = (f"apt-get -o Dir::Etc::sourcelist={sources} -o Dir::Etc::sourceparts=/dev/null "
           f"-o Dir::State::lists={lists} ")
    done = subprocess.run(f"{apt} update && {apt} source --download-only {package}", cwd=work, shell=True, capture_output=True,
                          text=True, errors="replace")
    return done.stderr.strip()[-300:]


def source_archive(package, work):
    """The upstream archive of `package` in `work`. Ends with 77 without one."""
    pattern = os.path.join(work, f"{package}_*.orig.tar.*z*")
    if not glob.glob(pattern):
        complaint = download(package, work)
    archives = [name for name in glob.glob(pattern) if not name.endswith(".asc")]
    if not archives:
        print(f"skipped: no source package of {package}:", complaint)
        sys.exit(77)
    return archives[0]


def source_tree(package, directory, work):
    """The upstream sources of `package`, unpacked in `work`, where they make `directory`. Ends with 77 without them."""
    tree = os.path.join(work, directory)
    if not os.path.isdir(tree):
        with tarfile.open(source_archive(package, work)) as archive:
            archive.extractall(work)
    return tree

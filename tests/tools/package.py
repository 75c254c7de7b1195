#!/usr/bin/env python3
"""The Debian package in a fresh Debian 12: installs, runs a threaded server, and leaves nothing when it is removed.

The root is made by debootstrap from the same mirror and through the same proxy as this machine's apt uses. Needs root. All mounts
are in a mount namespace of its own.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

import tool

options = tool.parse(__doc__)
SUITE = "bookworm"
PACKAGE_LIMIT = 800


def skip(why):
    print(f"skipped: {why}")
    sys.exit(tool.SKIPPED)


def own_mount_namespace():
    """This program again, in a mount namespace of its own: its mounts go with it."""
    if os.environ.get("COSHIM_TEST_NAMESPACE") == "1":
        return
    if subprocess.run(["unshare", "--mount", "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        skip("no mount namespace can be made here")
    os.environ["COSHIM_TEST_NAMESPACE"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def apt_mirror():
    """Where this machine's apt has Debian's main packages of the suite from."""
    listed = tool.run("apt-get", "indextargets", "--format", "$(SITE) $(CODENAME) $(COMPONENT) $(ORIGIN)", "Created-By: Packages")
    for line in listed.stdout.splitlines():
        words = line.split()
        if words[1:] == [SUITE, "main", "Debian"]:
            return words[0]
    return skip(f"apt has no source of Debian's {SUITE}")


def apt_proxy():
    lines = tool.run("apt-config", "shell", "HTTP", "Acquire::http::Proxy", "HTTPS", "Acquire::https::Proxy").stdout
    return {name.lower() + "_proxy": value for name, value in re.findall(r"^(HTTPS?)='([^']*)'", lines, re.M) if value != "DIRECT"}


def make_root(root):
    environment = tool.clean_environment(**apt_proxy())
    made = subprocess.run(["debootstrap", "--variant=minbase", SUITE, root, apt_mirror()], env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PACKAGE_LIMIT, check=False)
    if made.returncode != 0:
        print(made.stdout[-2000:])
        skip("debootstrap could not make a root (network, mount or mknod are refused)")
    for kind, place in (("proc", "proc"), ("tmpfs", "dev/shm")):
        os.makedirs(os.path.join(root, place), exist_ok=True)
        subprocess.run(["mount", "-t", kind, kind, os.path.join(root, place)], check=True)


def files_of(root):
    """What a package may not leave behind; dpkg's own books, logs and the loader's cache aside."""
    aside = re.compile(r"^(proc|dev|sys|tmp|run|var/lib/dpkg|var/log|var/cache)(/|$)|^etc/ld\.so\.cache")
    found = set()
    for directory, directories, names in os.walk(root):
        directories[:] = [d for d in directories if not aside.match(os.path.relpath(os.path.join(directory, d), root))]
        for name in directories + names:
            path = os.path.relpath(os.path.join(directory, name), root)
            if not aside.match(path):
                found.add(path)
    return found


def build_package(directory):
    made = subprocess.run(["cpack", "-G", "DEB", "-B", directory], cwd=options.build, capture_output=True, text=True, check=False,
                          timeout=PACKAGE_LIMIT)
    tool.expect(made.returncode == 0, "cpack", made.stdout[-2000:], made.stderr)
    (package,) = glob.glob(os.path.join(directory, "*.deb"))
    return package


def check_package(package):
    fields = tool.run("dpkg-deb", "-f", package).stdout
    tool.expect("Package: coshim\n" in fields and "Depends: libc6" in fields, "control", fields)
    listed = tool.run("dpkg-deb", "-c", package).stdout
    for path in ("usr/bin/coshim", "usr/lib/x86_64-linux-gnu/libcoshim.so", "usr/share/man/man1/coshim.1.gz",
                 "usr/share/man/man7/libcoshim.7.gz", "usr/share/bash-completion/completions/coshim",
                 "usr/share/gdb/auto-load/usr/lib/x86_64-linux-gnu/libcoshim.so-gdb.py",
                 "usr/share/doc/coshim/coshim.conf.example", "usr/share/doc/coshim/copyright"):
        tool.expect(re.search(rf"^-rw.r-.r-. root/root .* \./{re.escape(path)}$", listed, re.M), f"{path} is not packaged", listed)
    with open(os.path.join(options.source, "tools/package/changelog"), encoding="utf-8") as file:
        version = file.readline().split("(")[1].split(")")[0]
    tool.expect(f"Version: {version}\n" in fields, "the changelog's version", fields)
    if shutil.which("lintian"):
        said = tool.run("lintian", "--allow-root", "--tag-display-limit", "0", package)
        tool.expect(not re.search(r"^[EW]:", said.stdout, re.M), "lintian", said.stdout, said.stderr)
        print("lintian finds nothing")
    for line in listed.splitlines():
        tool.expect(re.match(r"drwxr-xr-x|-rw[-x]r-[-x]r-[-x]", line), f"odd permissions: {line}")


class Root:
    def __init__(self, path):
        self.path = path

    def run(self, *command, **environment):
        return tool.run("chroot", self.path, *command,
                        environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "DEBIAN_FRONTEND": "noninteractive", **environment})

    def use(self):
        """As its user would: check, run, dump, stats; by the bare name too."""
        checked = self.run("coshim", "check", "/tmp/echo_server")
        tool.expect(checked.returncode == 0 and "works" in checked.stdout, "check", checked)
        tool.expect(self.run("/lib/x86_64-linux-gnu/libcoshim.so").stdout.startswith("coshim "), "the library as a program")
        bare = self.run("env", "LD_PRELOAD=libcoshim.so", "grep", "-c", "libcoshim.so", "/proc/self/maps")
        tool.expect(bare.returncode == 0 and int(bare.stdout) > 0 and not bare.stderr, "LD_PRELOAD=libcoshim.so", bare)
        script = """
coshim run --stack-size 64K -- /tmp/echo_server --port 0 >/tmp/out 2>/tmp/err & server=$!
trap 'kill -KILL $server 2>/dev/null' EXIT
while ! grep -q listening /tmp/out; do kill -0 $server || exit 1; sleep 0.1; done
port=$(sed -n 's/.*:\\([0-9]*\\)$/\\1/p' /tmp/out)
for i in $(seq 300); do exec {connection}<>/dev/tcp/127.0.0.1/$port; done
while ! coshim stats $server | grep -q '^alive  *300$'; do kill -0 $server || exit 2; sleep 0.1; done
coshim stats $server; coshim dump $server
kill -TERM $server; wait $server; echo "server ended with $?"; cat /tmp/err"""
        used = self.run("bash", "-c", script)
        tool.expect(used.returncode == 0 and "=== end of dump ===\nserver ended with 0\n" in used.stdout, "a server in the root", used)
        threads = int(re.search(r"^kernel_threads +(\d+)", used.stdout, re.M)[1])
        tool.expect(threads <= 24 and "waiting to read descriptor" in used.stdout, "300 threads on a few kernel threads", used)
        tool.expect(used.stdout.endswith("server ended with 0\n"), "something on stderr", used)
        print(f"300 threads on {threads} kernel threads in the fresh root")


def main():
    if os.getuid() != 0:
        skip("needs root")
    tool.need("debootstrap", "unshare", "cpack", "dpkg-deb", "chroot")
    own_mount_namespace()
    with tempfile.TemporaryDirectory() as directory:
        package = build_package(directory)
        check_package(package)
        path = os.path.join(directory, "root")
        make_root(path)
        root = Root(path)
        try:
            before = files_of(path)
            shutil.copy(package, os.path.join(path, "tmp/coshim.deb"))
            shutil.copy(os.path.join(options.build, "demo_apps/echo_server"), os.path.join(path, "tmp"))
            installed = root.run("dpkg", "-i", "/tmp/coshim.deb")
            tool.expect(installed.returncode == 0 and not installed.stderr, "dpkg -i", installed)
            tool.expect("usr/bin/coshim" in files_of(path) - before, "nothing was installed")
            root.use()
            removed = root.run("dpkg", "--purge", "coshim")
            tool.expect(removed.returncode == 0 and not removed.stderr, "dpkg --purge", removed)
            left = files_of(path) ^ before
            tool.expect(not left, f"left behind or missing: {sorted(left)[:20]}")
            tool.expect(root.run("dpkg", "--verify").stdout == "", "dpkg --verify")
            tool.expect(root.run("sh", "-c", "ldconfig -p | grep coshim").returncode == 1, "still in the loader's cache")
        finally:
            for place in ("dev/shm", "proc"):
                subprocess.run(["umount", "--lazy", os.path.join(path, place)], check=False)
    print("installs, runs, is removed without a trace")


main()

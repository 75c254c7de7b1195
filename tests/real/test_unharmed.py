#!/usr/bin/env python3
"""Programs that the preload is merely inherited by behave as without it; one without threads has one kernel thread and no
more descriptors than natively."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import server_harness as harness
from server_harness import Server, connect_lines, free_port

COMMANDS = {
    "bash": 'for i in 1 2 3; do echo "$i $(echo sub $i | tr a-z A-Z)" | cat; done; (exit 3); echo $?; exec 3<>/dev/null; echo ok >&3',
    "descriptors": "ls -l /proc/self/fd | sed 's/.* \\([0-9]* ->\\)/\\1/' | sed 's/[0-9]\\{3,\\}/N/g'; grep Threads /proc/self/status",
    "make": "printf 'all: a b\\n\\t@echo all\\na b:\\n\\t@echo $@; sleep 0.1\\n' > Makefile; make -j2 | sort",
    "gcc": "echo 'int puts(const char*); int main(void) { puts(\"built\"); return 5; }' > a.c; gcc -O2 -o a a.c && ./a; echo $?",
    "git": "git init -q r && cd r && git -c user.name=n -c user.email=e commit -q --allow-empty -m first && cd .. && git clone -q r s && git -C s log --format=%s && git -C r gc -q && echo done",
    "node": "node -e 'setTimeout(() => console.log(\"later\"), 50); require(\"fs\").readFile(\"/etc/hostname\", (e, d) => console.log(!e)); require(\"dns\").lookup(\"localhost\", (e, a) => console.log(a.length > 0))' | sort",
    "python threads off": "/usr/bin/python3.11 -c 'import sys, os; print(len(os.listdir(\"/proc/self/task\")), sorted(os.listdir(\"/proc/self/fd\")))'",
}
NEEDS = {"node": "node", "git": "git", "gcc": "gcc", "make": "make"}


def run_command(text, lib):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_") and k != "LD_PRELOAD"}
    if lib:
        environment["LD_PRELOAD"] = lib
    with tempfile.TemporaryDirectory() as directory:
        result = subprocess.run(["bash", "-c", text], env=environment, cwd=directory, capture_output=True, timeout=60,
                                stdin=subprocess.DEVNULL)
        directory_name = directory.encode()
    return result.returncode, result.stdout.replace(directory_name, b"DIR"), result.stderr.replace(directory_name, b"DIR")


def talk(lines):
    def request(port):
        return connect_lines(port, lines)
    return request


def servers(directory, port):
    nginx = os.path.join(directory, "nginx.conf")
    with open(nginx, "w") as out:
        out.write(f"daemon off; pid {directory}/nginx.pid; error_log stderr emerg; worker_processes 2;\n"
                  f"events {{}}\nhttp {{ access_log off; server {{ listen 127.0.0.1:{port}; location / {{ return 200 'hello'; }} }} }}\n")
    return {
        "redis-server": (["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory],
                         b"SET a 1\r\nINCR a\r\nGET a\r\nQUIT\r\n"),
        "memcached": (["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-t", "4"],
                      b"set k 0 0 5\r\nvalue\r\nget k\r\nquit\r\n"),
        "nginx": (["nginx", "-c", nginx, "-p", directory], b"GET / HTTP/1.0\r\n\r\n"),
    }


def run_server(name, lib):
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        command, lines = servers(directory, port)[name]
        with Server(command, lib, 2) as server:
            server.wait_for_port(port)
            answers = [re.sub(rb"Date: [^\r]*", b"", connect_lines(port, lines)) for _ in range(50)]
            return answers, server.stop()


def main():
    options = harness.parse(__doc__)
    failed = []
    for name, text in COMMANDS.items():
        if shutil.which(NEEDS.get(name, "bash")) is None:
            print(f"{name}: not installed")
            continue
        native, shim = run_command(text, None), run_command(text, options.lib)
        print(f"{name}: {'same' if native == shim else 'DIFFERENT'}")
        if native != shim:
            failed.append(name)
            print(native, shim, sep="\n")
    for name in ("redis-server", "memcached", "nginx"):
        if shutil.which(name) is None:
            print(f"{name}: not installed")
            continue
        native, shim = run_server(name, None), run_server(name, options.lib)
        print(f"{name}: {'same' if native == shim else 'DIFFERENT'}")
        if native != shim:
            failed.append(name)
            print(native[0][0], native[1], shim[0][0], shim[1])
    sys.stdout.flush()
    os._exit(1 if failed else 0)


if __name__ == "__main__":
    main()

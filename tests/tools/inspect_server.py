#!/usr/bin/env python3
"""dump, top and stats on tinyproxy, stunnel4 and mariadb with thousands of idle connections and others under load."""
import contextlib
import http.server
import json
import os
import random
import re
import resource
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import tool

options = tool.parse(__doc__)
tool.need("tinyproxy", "stunnel4", "openssl")
coshim = options.launcher

PROXY = """\
Port {port}
Listen 127.0.0.1
Timeout 600
MaxClients 6000
Allow 127.0.0.1
LogFile "{directory}/log"
LogLevel Critical
"""
TUNNEL = """\
foreground = yes
pid =
debug = err
[https]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{origin}
cert = {directory}/certificate.pem
key = {directory}/key.pem
"""


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from the origin")

    def log_message(self, *_):
        pass


def free_port():
    """Below the range from which the kernel picks the ports of clients: other tests have them by the thousand."""
    while True:
        port = random.randint(11000, 29000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=tool.LIMIT)


def receive_all(connection):
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def origin_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    server.request_queue_size = 1000
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


class Load:
    """Requests one after the other in threads of ours until the end."""

    def __init__(self, request, answer):
        self.request, self.answer, self.stop, self.served, self.failed = request, answer, False, 0, None
        self.threads = [threading.Thread(target=self.run) for _ in range(4)]

    def run(self):
        while not self.stop:
            try:
                tool.expect(self.answer in self.request(), "a wrong answer under load")
                self.served += 1
            except (OSError, SystemExit) as error:
                self.failed = error
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        for thread in self.threads:
            thread.join()
        tool.expect(self.failed is None, f"under load: {self.failed!r}")


def shared_files(pid):
    return [name for name in os.listdir("/dev/shm") if re.fullmatch(rf"coshim-\d+-{pid}\..*", name)]


def remove_shared_files(pid):
    """Those of an earlier process of that id that was killed."""
    for name in shared_files(pid):
        os.unlink(os.path.join("/dev/shm", name))


def check_frames(dump, name, function):
    """Each that waits: which call of libc's, and whereabouts in the program it was made."""
    for thread in dump["threads"]:
        if thread["state"] != "parked" or thread["id"] == 0:
            continue
        frames = dump["backtraces"][thread["backtrace"]]["frames"]
        names = [frame.get("function", "") for frame in frames]
        tool.expect(any(called.startswith("coshim_") and called != "coshim_swap_start" for called in names), "the call", thread, frames)
        tool.expect(any(frame["module"].endswith(name) for frame in frames) and names[-1] == "coshim_swap_start", "the program's frames", frames)
    where = [[frame.get("function") for frame in backtrace["frames"]] for backtrace in dump["backtraces"]]
    tool.expect(function is None or any(function in names for names in where), f"nobody waits in {function}", where)


def check_dump(pid, connections, name, function):
    begin = time.time()
    dump = tool.run(coshim, "dump", str(pid))
    took = time.time() - begin
    tool.expect(dump.returncode == 0 and dump.stdout.endswith("=== end of dump ===\n"), "dump", dump.stderr, dump.stdout[-500:])
    parked = int(re.search(r"(\d+) parked", dump.stdout)[1])
    tool.expect(parked >= connections, f"{parked} parked threads, not {connections}", dump.stdout[:2000])
    alike = [int(count) for count in re.findall(r"^(\d+) threads", dump.stdout, re.M)]
    tool.expect(alike and max(alike) > connections // 4, "thousands alike are one group", dump.stdout[:3000])
    whole = json.loads(tool.run(coshim, "dump", "--json", "--full", str(pid)).stdout)
    tool.expect(whole["pid"] == pid and whole["statistics"]["alive"] >= connections, "JSON", str(whole)[:1000])
    check_frames(whole, name, function)
    with tempfile.NamedTemporaryFile() as file:
        written = tool.run(coshim, "dump", "--output", file.name, str(pid))
        tool.expect(written.returncode == 0 and not written.stdout and b"=== end of dump ===" in file.read(), "--output", written)
    tool.expect(not [name for name in shared_files(pid) if ".dump" in name], "a dump's file was left")
    print(f"  dump: {parked} parked threads in {took:.2f} s, {len(dump.stdout)} bytes")


def check_prometheus(pid, connections):
    text = tool.run(coshim, "stats", "--prometheus", "--label", 'job=a "b" \\c', str(pid)).stdout
    tool.expect(text.endswith("\n"), "Prometheus: the last line's end", text)
    types, seen = {}, set()
    value = r"-?[0-9.]+(?:e[+-]?[0-9]+)?"
    for line in text.splitlines():
        if match := re.fullmatch(r"# TYPE (coshim_[a-z_]+) (gauge|counter)", line):
            tool.expect(match[1] not in types, f"Prometheus: {match[1]} twice")
            types[match[1]] = match[2]
        elif not re.fullmatch(r"# HELP coshim_[a-z_]+ .+", line):
            match = re.fullmatch(rf'(coshim_[a-z_]+)(\{{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)+\}}) ({value})', line)
            tool.expect(match and match[1] in types and (match[1], match[2]) not in seen, f"Prometheus: {line}")
            tool.expect(types[match[1]] == "gauge" or match[1].endswith("_total"), f"Prometheus: a counter's name: {line}")
            tool.expect('job="a \\"b\\" \\\\c"' in match[2], f"Prometheus: the label: {line}")
            seen.add((match[1], match[2]))
    if shutil.which("promtool"):  # Prometheus's own opinion
        opinion = tool.run("promtool", "check", "metrics", input=text)
        tool.expect(opinion.returncode == 0 and not opinion.stdout + opinion.stderr, "promtool", opinion)
    alive = re.search(rf"^coshim_threads_alive\{{.*\}} ({value})$", text, re.M)
    tool.expect(float(alive[1]) >= connections and len(types) > 25, "Prometheus: the figures", text)


def check_stats(pid, connections):
    tool.expect(not shared_files(pid), "a file before anybody asked")
    figures = json.loads(tool.run(coshim, "stats", "--json", str(pid)).stdout)
    tool.expect(figures["pid"] == pid and figures["alive"] >= connections and figures["kernel_threads"] <= 24, "stats", figures)
    (name,) = shared_files(pid)
    mode = os.stat(os.path.join("/dev/shm", name)).st_mode & 0o777
    tool.expect(mode == 0o600, f"statistics for others: {mode:o}")
    text = tool.run(coshim, "stats", str(pid)).stdout
    tool.expect(re.search(rf"^pid +{pid}$", text, re.M) and re.search(r"^switches +[1-9]", text, re.M), "stats as text", text)
    check_prometheus(pid, connections)
    print(f"  stats: {figures['alive']} threads on {figures['kernel_threads']} kernel threads")


def check_top(pid):
    once = tool.run(coshim, "top", "--once", "--interval", "0.5", str(pid))
    tool.expect(once.returncode == 0 and "rates/s" in once.stdout and "\033" not in once.stdout, "top --once", once)
    line = json.loads(tool.run(coshim, "top", "--once", "--json", "--interval", "0.5", str(pid)).stdout)
    tool.expect(line["rates"]["switches"] > 0 and line["rates"]["created"] > 0, "rates under load", line)
    if tool.shutil.which("tmux") is None:
        print("  top in a terminal: not looked at, tmux is not installed")
        return
    with tempfile.TemporaryDirectory() as directory:
        def tmux(*words):
            return tool.run("tmux", "-S", os.path.join(directory, "socket"), "-f", "/dev/null", *words)

        screen = lambda: tmux("capture-pane", "-p", "-t", "top").stdout
        try:
            tmux("new-session", "-d", "-x", "130", "-y", "30", "-s", "top",
                 f"{coshim} top --interval 0.3 {pid}; echo ended with $?; sleep 1000")
            first = tool.until(lambda: re.search(r"rates/s +switches [1-9].*", screen()), "figures in the terminal")[0]
            tool.until(lambda: (now := re.search(r"rates/s +switches \d.*", screen())) and now[0] != first, "changing figures")
            # None while top is drawing.
            created = lambda: (match := re.search(r"(\d+) created", screen())) and int(match[1])
            before = tool.until(created, "threads created")
            tool.until(lambda: (created() or 0) > before, "more threads created")
            for key, words in (("n", "sorted by name"), ("c", "sorted by calls"), ("b", "sorted by blocked"),
                               ("r", "sorted by blocked, reversed"), ("t", "sorted by time")):
                tmux("send-keys", "-t", "top", key)
                tool.until(lambda: words in screen(), f"key {key}")
            tmux("resize-window", "-t", "top", "-x", "60", "-y", "10")
            tool.until(lambda: "threads " in screen(), "a smaller window")
            tmux("send-keys", "-t", "top", "q")
            tool.until(lambda: "ended with 0" in screen() and "rates/s" not in screen(), "the end, and the screen as it was")
        finally:
            tmux("kill-server")
    print("  top: figures change in the terminal, keys sort")


def inspect(name, command, port, connections, open_idle, request, function=None, answer=b"hello from the origin"):
    print(f"{name}, {connections} idle connections:")
    with tool.running(coshim, "run", "--stack-size", "256K", "--", *command, environment=tool.clean_environment(),
                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        remove_shared_files(process.pid)

        def ready():
            tool.expect(process.poll() is None, f"{name} has ended with {process.returncode}")
            with contextlib.suppress(OSError):
                connect(port).close()
                return True

        tool.until(ready, f"{name} listens")
        tool.expect(answer in request(), "its answer")
        idle = [open_idle() for _ in range(connections)]
        with Load(request, answer) as load:
            tool.until(lambda: load.served > 10, "load")
            check_stats(process.pid, connections)
            check_dump(process.pid, connections, command[0].split("/")[-1], function)
            check_top(process.pid)
            served = load.served
            tool.until(lambda: load.served > served, "it goes on serving")
        for connection in idle:
            connection.close()
        process.terminate()
        try:
            process.wait(tool.LIMIT)
        except subprocess.TimeoutExpired:
            tool.expect(False, f"{name} does not end", tool.run(coshim, "dump", str(process.pid)).stdout[:8000])
        tool.expect(not shared_files(process.pid), "a file after the end")
        tool.one_line(tool.run(coshim, "stats", str(process.pid)), 66)


def tinyproxy(directory, origin, connections):
    port = free_port()
    with open(os.path.join(directory, "tinyproxy.conf"), "w", encoding="ascii") as file:
        file.write(PROXY.format(port=port, directory=directory))

    def request(last=b"\r\n"):
        connection = connect(port)
        connection.sendall(b"GET http://127.0.0.1:%d/ HTTP/1.0\r\n" % origin + last)
        return receive_all(connection) if last else connection

    inspect("tinyproxy", ["tinyproxy", "-d", "-c", os.path.join(directory, "tinyproxy.conf")], port, connections,
            lambda: request(b""), request)


def stunnel(directory, origin, connections):
    port = free_port()
    certificate, key = (os.path.join(directory, name) for name in ("certificate.pem", "key.pem"))
    made = tool.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", certificate, "-days", "2", "-subj", "/CN=localhost")
    tool.expect(made.returncode == 0, "openssl", made.stderr)
    with open(os.path.join(directory, "stunnel.conf"), "w", encoding="ascii") as file:
        file.write(TUNNEL.format(port=port, origin=origin, directory=directory))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def request():
        with context.wrap_socket(connect(port)) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return receive_all(connection)

    # Connected, and no handshake yet.
    inspect("stunnel4", ["stunnel4", os.path.join(directory, "stunnel.conf")], port, connections, lambda: connect(port), request)


def mariadb(directory, connections):
    """Clients that were greeted and have not said who they are."""
    for program in ("mariadbd", "mariadb-install-db"):
        if shutil.which(program, path=tool.clean_environment()["PATH"]) is None:
            print(f"mariadb: not looked at, {program} is not installed")
            return
    port, data = free_port(), os.path.join(directory, "data")
    made = tool.run("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--auth-root-authentication-method=normal")
    tool.expect(made.returncode == 0, "mariadb-install-db", made)

    def greeted():
        connection = connect(port)
        tool.expect(b"MariaDB" in connection.recv(200), "its greeting")
        return connection

    def request():
        with greeted() as connection:  # a packet that is no login: refused, in words
            connection.sendall(b"\x03\x00\x00\x01abc")
            return receive_all(connection)

    inspect("mariadb", ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={directory}/socket", f"--port={port}",
                        "--bind-address=127.0.0.1", f"--pid-file={directory}/pid", f"--max-connections={connections + 100}",
                        "--connect-timeout=600", "--back-log=1000", f"--open-files-limit={limit}", f"--log-error={directory}/errors",
                        "--max-connect-errors=1000000000", "--thread-cache-size=0"],
            port, connections, greeted, request, "handle_one_connection", b"Bad handshake")


limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
with tempfile.TemporaryDirectory() as where, origin_server() as origin_port:
    tinyproxy(where, origin_port, 5000 if limit >= 11000 else 500)
    stunnel(where, origin_port, 1000 if limit >= 11000 else 100)
    mariadb(where, 5000 if limit >= 11000 else 100)

"""Debian's unmodified servers, run natively and under the shim by the same code; the answers are compared byte by byte."""
import argparse
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

SKIPPED = 77
LIMIT = 60


def parse(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--lib", required=True, help="libcoshim.so")
    parser.add_argument("--idle", type=int, default=2000, help="idle connections held while others are served")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return options


def need(*programs):
    for program in programs:
        if shutil.which(program) is None and not os.path.exists(program):
            print(f"skipped: {program} is not installed")
            sys.exit(SKIPPED)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Origin:
    """A backend that answers every connection's request line by line: 'echo <line>'. Runs natively, one thread."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        poll = select.epoll()
        self.listener.setblocking(False)
        poll.register(self.listener, select.EPOLLIN)
        open_connections = {}
        while True:
            for fd, _ in poll.poll():
                if fd == self.listener.fileno():
                    connection, _ = self.listener.accept()
                    open_connections[connection.fileno()] = [connection, b""]
                    poll.register(connection, select.EPOLLIN)
                    continue
                connection, buffer = open_connections[fd]
                try:
                    data = connection.recv(65536)
                except OSError:
                    data = b""
                buffer += data
                answer = self.answer(buffer)
                if answer is not None:
                    connection.setblocking(True)
                    connection.sendall(answer)
                    buffer = b""
                open_connections[fd][1] = buffer
                if not data or answer is not None:
                    poll.unregister(fd)
                    del open_connections[fd]
                    connection.close()

    @staticmethod
    def answer(request):
        """A whole HTTP request gets a body that depends on its path."""
        if b"\r\n\r\n" not in request:
            return None
        path = request.split(b" ")[1]
        path = path[path.find(b"/", 7):] if path.startswith(b"http://") else path
        body = (path + b" ") * 2000
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


class Server:
    def __init__(self, command, lib=None, workers=None, directory=None):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_") and k != "LD_PRELOAD"}
        self.dump = tempfile.mktemp(prefix="coshim-dump-")
        if lib:
            environment.update(LD_PRELOAD=lib, COSHIM_WORKERS=str(workers), COSHIM_DUMP_SIGNAL="USR2", COSHIM_DUMP_PATH=self.dump)
        self.errors = tempfile.TemporaryFile()
        self.shimmed = lib is not None
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=self.errors, cwd=directory)

    def wait_for_port(self, port):
        end = time.time() + LIMIT
        while time.time() < end:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit(f"server ended with {self.process.returncode}: {self.stderr()}")
                time.sleep(0.05)
        raise SystemExit("server did not open its port")

    def threads(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read()

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.show_dump()
            self.process.kill()
            raise SystemExit("the server did not stop on SIGTERM") from None

    def show_dump(self):
        if self.shimmed:
            self.process.send_signal(signal.SIGUSR2)
            time.sleep(2)
            if os.path.exists(self.dump):
                print(open(self.dump).read()[:20000])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            if kind is not None:
                self.show_dump()
            self.process.kill()
            self.process.wait()
        if os.path.exists(self.dump):
            os.remove(self.dump)


def receive_all(connection):
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    return b"".join(parts)


def connect_lines(port, lines):
    """Sends `lines`, gives all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        connection.sendall(lines)
        return receive_all(connection)


def in_parallel(function, count):
    """function(i) for i in range(count), in threads of ours (native); its results in order."""
    results = [None] * count
    failures = []

    def one(i):
        try:
            results[i] = function(i)
        except Exception as error:  # shown by the caller
            failures.append(f"request {i}: {error!r}")

    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        if thread.is_alive():
            raise SystemExit("a request hangs")
    if failures:
        raise SystemExit("; ".join(failures[:3]))
    return results


def compare(name, options, run):
    """run(server arguments...) -> (answers, threads, exit status, stderr) natively and with 1 and 4 workers."""
    native = run(None, None)
    print(f"{name}: native: {native[1]} kernel threads, exit {native[2]}")
    for workers in (1, 4):
        shim = run(options.lib, workers)
        print(f"{name}: shim, {workers} workers: {shim[1]} kernel threads, exit {shim[2]}")
        assert shim[0] == native[0], "the answers differ"
        assert shim[1] <= 24, f"{shim[1]} kernel threads"
        # A server that crashes natively while it stops (stunnel4 5.68 with connections open does) need not under the shim.
        crashed = native[2] in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
        assert shim[2] == native[2] or (crashed and shim[2] == 0), f"exit status {shim[2]}, natively {native[2]}"
        assert b"coshim" not in shim[3], f"not silent: {shim[3][:500]}"
    print(f"{name}: same answers")

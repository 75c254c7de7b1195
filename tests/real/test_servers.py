#!/usr/bin/env python3
"""microsocks, tinyproxy, stunnel4 and Python's ThreadingHTTPServer: idle connections by the thousand while others are served."""
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile

import server_harness as harness
from server_harness import Origin, Server, free_port, in_parallel, receive_all

REQUESTS = 100


def http_get(connection, path, host=""):
    connection.sendall(f"GET {host}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return receive_all(connection)


def drop_date(answer):
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"Date:"))


def serve(server, port, idle, request):
    """Holds `idle` connections open, makes REQUESTS requests 20 at a time, counts the kernel threads, stops the server."""
    server.wait_for_port(port)
    held = [socket.create_connection(("127.0.0.1", port), timeout=harness.LIMIT) for _ in range(idle)]
    answers = []
    for first in range(0, REQUESTS, 20):
        answers += in_parallel(lambda i, first=first: request(first + i), 20)
    threads = server.threads()
    for connection in held:
        connection.close()
    status = server.stop()
    return answers, threads, status, server.stderr()


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=harness.LIMIT)


def microsocks(options, origin):
    harness.need("microsocks")

    def run(lib, workers):
        port = free_port()

        def request(i):
            with connect(port) as c:
                c.sendall(b"\x05\x01\x00")
                assert c.recv(2) == b"\x05\x00"
                c.sendall(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + struct.pack("!H", origin.port))
                assert len(c.recv(10)) == 10
                return http_get(c, f"/socks/{i}")

        with Server(["microsocks", "-i", "127.0.0.1", "-p", str(port)], lib, workers) as server:
            return serve(server, port, options.idle, request)

    harness.compare("microsocks", options, run)


def tinyproxy(options, origin):
    harness.need("tinyproxy")

    def run(lib, workers):
        port = free_port()
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "tinyproxy.conf")
            with open(path, "w") as out:
                out.write(f"Port {port}\nListen 127.0.0.1\nMaxClients 10000\nAllow 127.0.0.1\nTimeout 600\n"
                          f'PidFile "{directory}/pid"\nLogFile "{directory}/log"\nLogLevel Error\n')

            def request(i):
                with connect(port) as c:
                    return http_get(c, f"/proxy/{i}", f"http://127.0.0.1:{origin.port}")

            with Server(["tinyproxy", "-d", "-c", path], lib, workers) as server:
                return serve(server, port, options.idle, request)

    harness.compare("tinyproxy", options, run)


def stunnel(options, origin):
    harness.need("stunnel4", "openssl")
    with tempfile.TemporaryDirectory() as directory:
        key, certificate = os.path.join(directory, "key.pem"), os.path.join(directory, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                        "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(certificate)

        def run(lib, workers):
            port = free_port()
            path = os.path.join(directory, "stunnel.conf")
            with open(path, "w") as out:
                out.write(f"foreground = yes\npid =\ndebug = 3\ncert = {certificate}\nkey = {key}\n[http]\n"
                          f"accept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{origin.port}\n")

            def request(i):
                with context.wrap_socket(connect(port)) as c:
                    return http_get(c, f"/tls/{i}")

            with Server(["stunnel4", path], lib, workers) as server:
                return serve(server, port, options.idle, request)

        harness.compare("stunnel4", options, run)


PYTHON_SERVER = """
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 4096
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def python_http(options, _):
    harness.need("/usr/bin/python3.11")
    with tempfile.TemporaryDirectory() as directory:
        for i in range(REQUESTS):
            with open(os.path.join(directory, f"{i}.txt"), "w") as out:
                out.write(f"file {i}\n" * (i * 20 + 1))

        def run(lib, workers):
            port = free_port()

            def request(i):
                with connect(port) as c:
                    return drop_date(http_get(c, f"/{i}.txt"))

            with Server(["/usr/bin/python3.11", "-c", PYTHON_SERVER, str(port)], lib, workers, directory) as server:
                return serve(server, port, options.idle, request)

        harness.compare("ThreadingHTTPServer", options, run)


def main():
    tests = {"microsocks": microsocks, "tinyproxy": tinyproxy, "stunnel4": stunnel, "python": python_http}
    name = sys.argv.pop(1)
    options = harness.parse(__doc__)
    tests[name](options, Origin())
    os._exit(0)


if __name__ == "__main__":
    main()

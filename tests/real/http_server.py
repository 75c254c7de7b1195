#!/usr/bin/python3
"""Python's http.server, a ThreadingHTTPServer with one thread a connection, serving files."""

import os

import harness
import scenario
import traffic

FILES = {"small.txt": 10, "empty.txt": 0, "page.html": 5000, "large.bin": 1000000}
LAST_MODIFIED = 1_000_000_000


class HttpServer(scenario.Service):
    name = "http.server"
    # The server's listen backlog is 5.
    opened_at_once = 5

    def __init__(self, directory):
        super().__init__(directory)
        self.python = harness.find_program("python3.11", "python3")
        self.root = os.path.join(directory, "root")
        os.makedirs(os.path.join(self.root, "listed"))
        for name, size in FILES.items():
            self._make_file(name, size)
        for number in range(20):
            self._make_file(os.path.join("listed", f"entry-{number}"), number)

    def _make_file(self, name, size):
        path = os.path.join(self.root, name)
        with open(path, "wb") as made:
            made.write(traffic.pattern(size))
        os.utime(path, (LAST_MODIFIED, LAST_MODIFIED))

    def command(self):
        return [self.python, "-m", "http.server", "--protocol", "HTTP/1.1", "--bind", "127.0.0.1", "--directory",
                self.root, str(self.port)]

    async def requests(self):
        answers = {}
        connection = await traffic.connect(self.port)
        for name in FILES:
            answers[name] = await connection.exchange(traffic.http_request("GET", f"/{name}"))
            answers[f"head of {name}"] = await connection.exchange(traffic.http_request("HEAD", f"/{name}"), "HEAD")
        answers["listing"] = await connection.exchange(traffic.http_request("GET", "/listed/"))
        answers["redirection"] = await connection.exchange(traffic.http_request("GET", "/listed"))
        since = "If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT"
        answers["not modified"] = await connection.exchange(
            traffic.http_request("GET", "/page.html", headers=[since]))
        connection.writer.write(b"".join(traffic.http_request("GET", "/small.txt") for _ in range(10)))
        for number in range(10):
            answers[f"pipelined {number}"] = await connection.read_response()
        await connection.close()
        connection = await traffic.connect(self.port)
        answers["short-lived"] = await connection.exchange(traffic.http_request("GET", "/page.html", keep=False))
        answers["short-lived, end"] = await connection.read_to_end()
        await connection.close()
        return answers

    async def oddities(self):
        answers = {}
        for name, request in (("missing", traffic.http_request("GET", "/nothing", keep=False)),
                              ("outside", traffic.http_request("GET", "/../../etc/passwd", keep=False)),
                              ("post", traffic.http_request("POST", "/small.txt", b"", keep=False)),
                              ("garbage", b"garbage\r\n\r\n"),
                              ("other version", b"GET / HTTP/9.9\r\n\r\n")):
            connection = await traffic.connect(self.port)
            connection.writer.write(request)
            answers[name] = traffic.without_dates(await connection.read_to_end())
            await connection.close()
        return answers

    async def open_idle(self, number):
        # Even: in the middle of a request. Odd: kept alive after one.
        connection = await traffic.connect(self.port)
        if number % 2 == 0:
            connection.writer.write(self._idle_request()[:-2])
        else:
            await connection.exchange(self._idle_request())
        return connection

    @staticmethod
    def _idle_request():
        return traffic.http_request("GET", "/page.html")

    async def resume_idle(self, connection, number):
        return await connection.exchange(self._idle_request()[-2 if number % 2 == 0 else 0:])


if __name__ == "__main__":
    scenario.run_service(HttpServer, harness.parse_arguments(__doc__))

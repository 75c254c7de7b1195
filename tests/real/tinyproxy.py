#!/usr/bin/python3
"""tinyproxy, an HTTP proxy with one thread a connection: plain requests, CONNECT tunnels and its own error pages."""

import os

import harness
import scenario
import traffic

CONFIGURATION = """\
Port {port}
Listen 127.0.0.1
Timeout 600
MaxClients 5000
Allow 127.0.0.1
LogFile "{log}"
LogLevel Info
ViaProxyName "proxy"
ConnectPort {origin}
ConnectPort {closed}
"""


class Tinyproxy(scenario.Service):
    name = "tinyproxy"

    def __init__(self, directory):
        super().__init__(directory)
        self.program = harness.find_program("tinyproxy")
        self.closed_port = harness.free_port()

    def command(self):
        path = os.path.join(self.directory, "tinyproxy.conf")
        with open(path, "w", encoding="ascii") as configuration:
            configuration.write(CONFIGURATION.format(port=self.port, origin=self.origin.port, closed=self.closed_port,
                                                     log=os.path.join(self.directory, "tinyproxy.log")))
        return [self.program, "-d", "-c", path]

    def _target(self, path, host="127.0.0.1", port=None):
        return f"http://{host}:{port or self.origin.port}{path}"

    async def _ask(self, request, method="GET"):
        """One request on a connection of its own; the proxy closes it afterwards."""
        connection = await traffic.connect(self.port)
        answer = await connection.exchange(request, method)
        answer += await connection.read_to_end()
        await connection.close()
        return answer

    async def _tunnel(self):
        connection = await traffic.connect(self.port)
        return connection, await connection.exchange(
            traffic.http_request("CONNECT", f"127.0.0.1:{self.origin.port}"), "CONNECT")

    async def requests(self):
        answers = {}
        for name, method, target, body in (
                ("small", "GET", self._target("/bytes/10"), None),
                ("by name", "GET", self._target("/bytes/10", "localhost"), None),
                ("large", "GET", self._target("/bytes/1000000"), None),
                ("head", "HEAD", self._target("/bytes/5000"), None),
                ("echo", "POST", self._target("/echo"), traffic.pattern(200000)),
                ("chunked", "GET", self._target("/chunked/20"), None),
                ("missing", "GET", self._target("/nothing"), None)):
            answers[f"proxied, {name}"] = await self._ask(traffic.http_request(method, target, body), method)
        connection, answers["tunnel"] = await self._tunnel()
        await traffic.usual_exchanges(connection, answers)
        await connection.close()
        return answers

    async def oddities(self):
        return {
            "refused": await self._ask(traffic.http_request("GET", self._target("/", port=self.closed_port))),
            "unknown name": await self._ask(traffic.http_request("GET", self._target("/", "nowhere.invalid"))),
            "connect, refused": await self._ask(traffic.http_request("CONNECT", f"127.0.0.1:{self.closed_port}")),
            "connect, forbidden port": await self._ask(traffic.http_request("CONNECT", "127.0.0.1:1")),
            "no proxy request": await self._ask(traffic.http_request("GET", "/")),
            "garbage": await self._ask(b"garbage\r\n\r\n"),
        }

    async def open_idle(self, number):
        # Even: in the middle of a request. Odd: a tunnel that stands.
        if number % 2 == 0:
            connection = await traffic.connect(self.port)
            connection.writer.write(self._idle_request(number)[:-2])
            return connection
        return (await self._tunnel())[0]

    def _idle_request(self, number):
        return traffic.http_request("GET", self._target(f"/bytes/{number}"))

    async def resume_idle(self, connection, number):
        if number % 2 == 0:
            return await connection.exchange(self._idle_request(number)[-2:])
        return await connection.exchange(traffic.http_request("GET", f"/bytes/{number}"))

    async def rude(self, number):
        connection = await traffic.connect(self.port)
        connection.writer.write(traffic.http_request("GET", self._target("/bytes/3000000")))
        await connection.read_exactly(100 * number + 1)
        connection.reset()


if __name__ == "__main__":
    scenario.run_service(Tinyproxy, harness.parse_arguments(__doc__))

#!/usr/bin/python3
"""microsocks, a SOCKS5 proxy with one thread a connection: HTTP through its tunnels."""

import socket
import struct

import harness
import scenario
import traffic

NO_AUTHENTICATION = b"\x05\x01\x00"
CONNECT, BIND, UDP_ASSOCIATE = 1, 2, 3


def by_address(port, command=CONNECT, address="127.0.0.1"):
    return struct.pack(">BBBB", 5, command, 0, 1) + socket.inet_aton(address) + struct.pack(">H", port)


def by_name(name, port):
    return struct.pack(">BBBBB", 5, CONNECT, 0, 3, len(name)) + name.encode() + struct.pack(">H", port)


class Microsocks(scenario.Service):
    name = "microsocks"

    def __init__(self, directory):
        super().__init__(directory)
        self.program = harness.find_program("microsocks")
        self.closed_port = harness.free_port()

    def command(self):
        return [self.program, "-i", "127.0.0.1", "-p", str(self.port)]

    async def _tunnel(self, request):
        """Returns the connection and the proxy's two answers."""
        connection = await traffic.connect(self.port)
        connection.writer.write(NO_AUTHENTICATION)
        answers = await connection.read_exactly(2)
        connection.writer.write(request)
        return connection, answers + await connection.read_exactly(10)

    async def requests(self):
        answers = {}
        connection, answers["handshake"] = await self._tunnel(by_address(self.origin.port))
        await traffic.usual_exchanges(connection, answers)
        await connection.close()
        for name, request in (("by name", by_name("localhost", self.origin.port)),
                              ("short-lived", by_address(self.origin.port))):
            connection, answers[f"{name}, handshake"] = await self._tunnel(request)
            answers[name] = await connection.exchange(traffic.http_request("GET", "/bytes/700", keep=False))
            answers[f"{name}, end"] = await connection.read_to_end()
            await connection.close()
        return answers

    async def oddities(self):
        answers = {}
        for name, request in (("refused", by_address(self.closed_port)), ("bind", by_address(self.closed_port, BIND)),
                              ("udp", by_address(self.closed_port, UDP_ASSOCIATE)),
                              ("unknown name", by_name("nowhere.invalid", 80))):
            connection, answers[name] = await self._tunnel(request)
            answers[f"{name}, end"] = await connection.read_to_end()
            await connection.close()
        for name, greeting in (("SOCKS 4", b"\x04\x01\x00"), ("no common method", b"\x05\x01\x07")):
            connection = await traffic.connect(self.port)
            connection.writer.write(greeting)
            answers[name] = await connection.read_to_end()
            await connection.close()
        return answers

    async def open_idle(self, number):
        # Even: nothing sent yet. Odd: a tunnel that stands.
        if number % 2 == 0:
            return await traffic.connect(self.port)
        return (await self._tunnel(by_address(self.origin.port)))[0]

    async def resume_idle(self, connection, number):
        start = b""
        if number % 2 == 0:
            connection.writer.write(NO_AUTHENTICATION)
            start = await connection.read_exactly(2)
            connection.writer.write(by_address(self.origin.port))
            start += await connection.read_exactly(10)
        return start + await connection.exchange(traffic.http_request("GET", f"/bytes/{number}"))

    async def rude(self, number):
        connection, _ = await self._tunnel(by_address(self.origin.port))
        connection.writer.write(traffic.http_request("GET", "/bytes/3000000"))
        await connection.read_exactly(100 * number + 1)
        connection.reset()


if __name__ == "__main__":
    scenario.run_service(Microsocks, harness.parse_arguments(__doc__))

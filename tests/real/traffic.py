"""Client traffic over any kind of connection, and the HTTP server at the far end; all in one asyncio loop, one thread."""

import asyncio
import contextlib
import re

from harness import Failure

ANSWER_SECONDS = 60
BLOCK = bytes(range(256)) * 4


def pattern(length):
    """Bytes in which a lost, doubled or moved block shows: every KiB carries its number."""
    blocks = (f"{number:08d}".encode() + BLOCK[8:] for number in range(length // len(BLOCK) + 1))
    return b"".join(blocks)[:length]


class Origin:
    """A small HTTP/1.1 server whose answers depend on the request alone: no date, no name, no counter."""

    def __init__(self):
        self.port = 0
        self._server = None
        self._bodies = {}

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self):
        self._server.close()

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        length = header_value(head, b"content-length")
        body = await reader.readexactly(int(length)) if length else b""
        keep = (header_value(head, b"connection") or b"").lower() != b"close"
        await self._respond(writer, method, target, body, keep)
        await writer.drain()
        return keep

    async def _respond(self, writer, method, target, body, keep):
        connection = b"keep-alive" if keep else b"close"
        _, kind, *rest = target.split("/")
        if kind == "chunked":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: " + connection + b"\r\n\r\n")
            for number in range(int(rest[0])):
                # A pause now and then: the program in between has to wait in the middle of an answer.
                await asyncio.sleep(0.005 if number % 8 == 7 else 0)
                piece = pattern(100 * (number + 1))
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            writer.write(b"0\r\n\r\n")
            return
        status, content = b"200 OK", b""
        if kind == "bytes":
            content = self._bodies.setdefault(int(rest[0]), pattern(int(rest[0])))
        elif kind == "echo":
            content = body
        else:
            status, content = b"404 Not Found", b"no such thing: " + target.encode()
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n" % (status, len(content), connection))
        if method != "HEAD":
            writer.write(content)


def header_value(head, name):
    found = re.search(rb"\r\n" + re.escape(name) + rb":[ \t]*([^\r\n]*)", head, re.IGNORECASE)
    return found.group(1).strip() if found else None


def http_request(method, target, body=None, host="origin", headers=(), keep=True):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    if not keep:
        lines.append("Connection: close")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


async def read_response(reader, method="GET"):
    """One whole HTTP response as it came over the wire."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if method == "HEAD" or status in (204, 304) or (method == "CONNECT" and status == 200):
        return head
    length = header_value(head, b"content-length")
    if length is not None:
        return head + await reader.readexactly(int(length))
    if (header_value(head, b"transfer-encoding") or b"").lower() == b"chunked":
        return head + await read_chunks(reader)
    return head + await reader.read()


async def read_chunks(reader):
    parts = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        parts += [line, await reader.readexactly(size + 2)]
        if size == 0:
            return b"".join(parts)


def without_chunks(answer):
    """The answer with its chunks joined: a proxy that frames anew does it as the pieces happen to arrive."""
    head, body = answer.split(b"\r\n\r\n", 1)
    if (header_value(head + b"\r\n\r\n", b"transfer-encoding") or b"").lower() != b"chunked":
        return answer
    pieces = []
    while body:
        size, body = body.split(b"\r\n", 1)
        length = int(size.split(b";")[0], 16)
        pieces.append(body[:length])
        body = body[length + 2:]
    return head + b"\r\n\r\n" + b"".join(pieces)


def without_dates(answer):
    """The one header that differs from second to second."""
    return re.sub(rb"(\r\nDate: )[^\r\n]*", rb"\1DATE", answer)


class Connection:
    """A connection to the server under test, or through it."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def exchange(self, request, method="GET"):
        self.writer.write(request)
        return without_dates(await self.read_response(method))

    async def read_response(self, method="GET"):
        try:
            return without_dates(await asyncio.wait_for(read_response(self.reader, method), ANSWER_SECONDS))
        except asyncio.TimeoutError:
            raise Failure(f"no answer after {ANSWER_SECONDS} s") from None
        except asyncio.IncompleteReadError as error:
            raise Failure(f"the connection ended in the middle of an answer: {error.partial[:200]!r}") from None

    async def read_exactly(self, count):
        try:
            return await asyncio.wait_for(self.reader.readexactly(count), ANSWER_SECONDS)
        except asyncio.TimeoutError:
            raise Failure(f"no answer after {ANSWER_SECONDS} s") from None
        except asyncio.IncompleteReadError as error:
            raise Failure(f"the connection ended after {error.partial!r}, {count} bytes expected") from None

    async def read_to_end(self):
        try:
            return await asyncio.wait_for(self.reader.read(), ANSWER_SECONDS)
        except asyncio.TimeoutError:
            raise Failure(f"the connection is still open after {ANSWER_SECONDS} s") from None

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self.writer.wait_closed(), ANSWER_SECONDS)

    def reset(self):
        """Ends the connection abruptly."""
        self.writer.transport.abort()


async def connect(port, **options):
    try:
        return Connection(*await asyncio.wait_for(
            asyncio.open_connection("127.0.0.1", port, limit=1 << 22, **options), ANSWER_SECONDS))
    except asyncio.TimeoutError:
        raise Failure(f"no connection to port {port} after {ANSWER_SECONDS} s") from None


async def in_parallel(jobs, at_once):
    """Runs the coroutines of a list, so many at once; returns their results in order, or raises the first exception."""
    gate = asyncio.Semaphore(at_once)

    async def run(job):
        async with gate:
            return await job

    tasks = [asyncio.ensure_future(run(job)) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in jobs:
            job.close()


async def usual_exchanges(connection, answers):
    """One connection, kept alive, to the origin: small, large, both ways, in pieces, several at once."""
    for name, request, method in (
            ("small", http_request("GET", "/bytes/10"), "GET"),
            ("empty", http_request("GET", "/bytes/0"), "GET"),
            ("head", http_request("HEAD", "/bytes/5000"), "HEAD"),
            ("large", http_request("GET", "/bytes/1000000"), "GET"),
            ("echo", http_request("POST", "/echo", pattern(300000)), "POST"),
            ("chunked", http_request("GET", "/chunked/20"), "GET"),
            ("missing", http_request("GET", "/nothing"), "GET")):
        answers[name] = await connection.exchange(request, method)
    connection.writer.write(b"".join(http_request("GET", f"/bytes/{size}") for size in range(1, 30)))
    for size in range(1, 30):
        answers[f"pipelined {size}"] = await connection.read_response()
    # A request that arrives byte by byte.
    for byte in http_request("GET", "/bytes/77"):
        connection.writer.write(bytes([byte]))
        await connection.writer.drain()
        await asyncio.sleep(0)
    answers["slowly asked"] = await connection.read_response()

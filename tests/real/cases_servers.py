"""Cases of programs.py that are servers and runtimes with threads, processes and event loops of their own."""

import asyncio
import os
import re
import signal

import harness
import traffic
from cases_commands import Case, run_command

SERVERS_CLIENTS = 100


async def stop(server, transcript, stop_signal=signal.SIGTERM):
    """Stops a server; its exit status and its stderr become part of the transcript."""
    server.process.send_signal(stop_signal)
    while server.process.poll() is None:
        await asyncio.sleep(0.02)
    transcript["exit status"] = harness.describe_status(server.process.returncode).encode()
    transcript["stderr"] = "\n".join(sorted(harness.line_shapes(server.errors()))).encode()


async def with_server(mode, scratch, command, port, body, stop_signal=signal.SIGTERM):
    """Runs body(transcript) while the server runs; explains a hang."""
    server = harness.Server(mode, command, scratch)
    transcript = {}
    try:
        server.wait_until_listening(port)
        await body(transcript)
        await asyncio.wait_for(stop(server, transcript, stop_signal), harness.STOP_SECONDS)
    except (asyncio.TimeoutError, asyncio.CancelledError):
        raise harness.Failure(f"{mode.name}: {command[0]} hangs\n{server.explain()}") from None
    except (harness.Failure, OSError) as failure:
        raise harness.Failure(f"{mode.name}: {failure}\n{server.explain()}\n{server.errors()[-3000:]}") from None
    finally:
        server.kill()
    return transcript


async def read_reply(connection):
    """One reply of the Redis protocol, as it came."""
    line = await asyncio.wait_for(connection.reader.readuntil(b"\r\n"), traffic.ANSWER_SECONDS)
    count = int(line[1:-2]) if line[:1] in b"$*" else -1
    if line[:1] == b"$" and count >= 0:
        return line + await connection.read_exactly(count + 2)
    if line[:1] == b"*" and count >= 0:
        return line + b"".join([await read_reply(connection) for _ in range(count)])
    return line


def redis_command(*words):
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


async def redis_client(port, number):
    connection = await traffic.connect(port)
    replies = []
    for words in (("SET", f"key:{number}", traffic.pattern(number * 10)), ("GET", f"key:{number}"),
                  ("RPUSH", f"list:{number}", *range(20)), ("LRANGE", f"list:{number}", 0, -1),
                  ("EVAL", "return {KEYS[1], ARGV[1] * 2}", 1, "k", number), ("INCR", f"count:{number}"),
                  ("UNLINK", f"list:{number}"), ("NOSUCHCOMMAND",), ("SELECT", "x")):
        connection.writer.write(redis_command(*words))
        replies.append(await read_reply(connection))
    await connection.close()
    return b"".join(replies)


async def redis(mode, scratch):
    port = harness.free_port()
    # Threads for I/O and for freeing memory, an append-only file, and a child that saves.
    command = [harness.find_program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", scratch,
               "--appendonly", "yes", "--appendfsync", "everysec", "--io-threads", "4", "--io-threads-do-reads", "yes",
               "--lazyfree-lazy-user-del", "yes", "--logfile", "redis.log"]

    async def body(transcript):
        replies = await traffic.in_parallel([redis_client(port, number) for number in range(SERVERS_CLIENTS)], 50)
        transcript["replies"] = b"".join(replies)
        connection = await traffic.connect(port)
        for words in (("BGREWRITEAOF",), ("FLUSHALL", "ASYNC"), ("DBSIZE",), ("SET", "last", "one"), ("SAVE",)):
            connection.writer.write(redis_command(*words))
            transcript[words[0]] = await read_reply(connection)
        while b"aof_rewrite_in_progress:0" not in await redis_information(connection):
            await asyncio.sleep(0.05)
        await connection.close()
        transcript["redis-cli"] = await run_redis_cli(mode, scratch, port)

    transcript = await with_server(mode, scratch, command, port, body)
    with open(os.path.join(scratch, "dump.rdb"), "rb") as saved:
        transcript["saved"] = saved.read(5)
    return transcript


async def redis_information(connection):
    connection.writer.write(redis_command("INFO", "persistence"))
    return await read_reply(connection)


async def run_redis_cli(mode, scratch, port):
    process = await asyncio.create_subprocess_exec(
        harness.find_program("redis-cli"), "-p", str(port), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=mode.environment(os.path.join(scratch, ".dump"), {"HOME": scratch}))
    output, _ = await process.communicate(b"PING\nSET a 1\nINCR a\nMGET a b last\nDBSIZE\nGET\n")
    return output + harness.describe_status(process.returncode).encode()


NGINX = """\
daemon off;
{user}
worker_processes 2;
pid {scratch}/nginx.pid;
error_log {scratch}/error.log;
thread_pool readers threads=4;
events {{ worker_connections 1024; }}
http {{
  access_log {scratch}/access.log;
  client_body_temp_path {scratch}/body;
  proxy_temp_path {scratch}/proxy;
  fastcgi_temp_path {scratch}/fastcgi;
  uwsgi_temp_path {scratch}/uwsgi;
  scgi_temp_path {scratch}/scgi;
  etag off;
  server {{
    listen 127.0.0.1:{port};
    root {scratch}/root;
    location /threads/ {{ alias {scratch}/root/; aio threads=readers; sendfile off; directio off; }}
    location /proxied/ {{ proxy_pass http://127.0.0.1:{origin}/; }}
  }}
}}
"""


async def nginx_client(port):
    connection = await traffic.connect(port)
    answers = []
    for target in ("/large.bin", "/threads/large.bin", "/threads/small.txt", "/missing", "/proxied/bytes/100000",
                   "/proxied/chunked/10"):
        answers.append(traffic.without_chunks(await connection.exchange(traffic.http_request("GET", target))))
    await connection.close()
    return b"".join(answers)


async def nginx(mode, scratch):
    origin = traffic.Origin()
    await origin.start()
    port = harness.free_port()
    root = os.path.join(scratch, "root")
    os.mkdir(root)
    for name, size in (("large.bin", 500000), ("small.txt", 100)):
        path = os.path.join(root, name)
        with open(path, "wb") as made:
            made.write(traffic.pattern(size))
        os.utime(path, (1_000_000_000, 1_000_000_000))
    configuration = os.path.join(scratch, "nginx.conf")
    with open(configuration, "w", encoding="ascii") as made:
        made.write(NGINX.format(scratch=scratch, port=port, origin=origin.port,
                                user="user root;" if os.geteuid() == 0 else ""))

    async def body(transcript):
        answers = await traffic.in_parallel([nginx_client(port) for _ in range(SERVERS_CLIENTS)], 50)
        transcript["answers"] = re.sub(rb"(Location: http://127.0.0.1:)\d+", rb"\1PORT", b"".join(answers))

    transcript = await with_server(mode, scratch, [harness.find_program("nginx"), "-e", f"{scratch}/error.log", "-c",
                                                   configuration], port, body, signal.SIGQUIT)
    origin.close()
    with open(os.path.join(scratch, "access.log"), encoding="utf-8") as log:
        transcript["access log"] = b"%d lines" % len(log.readlines())
    return transcript


async def memcached_client(port, number):
    connection = await traffic.connect(port)
    value = traffic.pattern(1000 * (number % 20))
    key = b"key%d" % number
    replies = []
    for request, end in ((b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), b"\r\n"),
                         (b"get %s\r\n" % key, b"END\r\n"), (b"add %s 0 0 1\r\nx\r\n" % key, b"\r\n"),
                         (b"set n%d 0 0 1\r\n5\r\n" % number, b"\r\n"), (b"incr n%d 37\r\n" % number, b"\r\n"),
                         (b"delete %s\r\n" % key, b"\r\n"), (b"get %s\r\n" % key, b"END\r\n"),
                         (b"nonsense\r\n", b"\r\n")):
        connection.writer.write(request)
        replies.append(await asyncio.wait_for(connection.reader.readuntil(end), traffic.ANSWER_SECONDS))
    await connection.close()
    return b"".join(replies)


async def memcached(mode, scratch):
    port = harness.free_port()
    command = [harness.find_program("memcached"), "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "4"]
    if os.geteuid() == 0:
        command += ["-u", "root"]

    async def body(transcript):
        replies = await traffic.in_parallel(
            [memcached_client(port, number) for number in range(SERVERS_CLIENTS)], 50)
        transcript["replies"] = b"".join(replies)
        connection = await traffic.connect(port)
        connection.writer.write(b"stats settings\r\n")
        settings = await connection.reader.readuntil(b"END\r\n")
        transcript["threads"] = re.search(rb"STAT num_threads \d+", settings).group(0)
        await connection.close()

    return await with_server(mode, scratch, command, port, body)


NODE = r"""
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const fs = require('fs'), http = require('http'), crypto = require('crypto'), dns = require('dns');
const { execFile } = require('child_process');
if (!isMainThread) {
  let sum = 0;
  for (let i = 0; i < workerData; i++) sum += i;
  parentPort.postMessage(sum);
} else {
  const promise = (call) => new Promise((good, bad) => call((error, value) => error ? bad(error) : good(value)));
  const work = (count) => new Promise((good, bad) => {
    const worker = new Worker(__filename, { workerData: count });
    worker.on('message', good); worker.on('error', bad);
  });
  const get = (port, n) => promise((done) => http.get({ port, host: '127.0.0.1', path: '/' + n }, (response) => {
    let text = '';
    response.on('data', (piece) => text += piece).on('end', () => done(null, text));
  }).on('error', done));
  (async () => {
    await fs.promises.writeFile('file', 'x'.repeat(100000));
    console.log('file', (await fs.promises.readFile('file')).length);
    console.log('workers', await Promise.all([1e3, 1e5, 1e6, 1e7].map(work)));
    const keys = await Promise.all([...Array(8).keys()].map((n) =>
      promise((done) => crypto.pbkdf2('secret', 'salt' + n, 20000, 32, 'sha256', done))));
    console.log('keys', keys.map((key) => key.toString('hex')));
    console.log('name', await promise((done) => dns.lookup('localhost', { family: 4 }, done)));
    const server = http.createServer((request, response) => response.end('answer to ' + request.url));
    await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
    const texts = await Promise.all([...Array(100).keys()].map((n) => get(server.address().port, n)));
    console.log('http', crypto.createHash('sha256').update(texts.join()).digest('hex'));
    server.close();
    console.log('child', await promise((done) => execFile('sh', ['-c', 'echo out; echo err >&2'], done)));
    await new Promise((later) => setTimeout(later, 50));
    console.error('done');
    process.exitCode = 9;
  })();
}
"""


def node(mode, scratch, timeout):
    path = os.path.join(scratch, "program.js")
    with open(path, "w", encoding="utf-8") as made:
        made.write(NODE)
    return run_command([harness.find_program("node"), path], mode, scratch, timeout)


CASES = {
    "redis": Case(["redis-server", "redis-cli"], redis, b"REDIS"),
    "nginx": Case(["nginx"], nginx, b"Server: nginx"),
    "memcached": Case(["memcached"], memcached, b"num_threads 4"),
    "node": Case(["node"], node, b"exit status 9"),
}

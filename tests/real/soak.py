#!/usr/bin/python3
"""Minutes of load on one threaded server, every byte of every answer checked; memory, descriptors and kernel threads may
not grow. Not registered with ctest: soak.py --lib build/libcoshim.so --server NAME --seconds 300 --workers 1 2 4
"""

import asyncio
import contextlib
import os
import subprocess
import time

import harness
import scenario
import stunnel
import tinyproxy
import traffic
from harness import Failure

# What may be more at the end than after the warm-up: allocators and caches breathe.
GROWTH_KIB = 8192
GROWTH_PART = 0.25
SAMPLE_SECONDS = 0.5

APACHE = """\
ServerRoot /usr/lib/apache2
ServerName localhost
PidFile {directory}/apache.pid
DefaultRuntimeDir {directory}
Mutex posixsem
Listen 127.0.0.1:{port}
LoadModule mpm_worker_module modules/mod_mpm_worker.so
LoadModule authz_core_module modules/mod_authz_core.so
ErrorLog {directory}/error.log
User www-data
Group www-data
StartServers 1
ServerLimit 1
ThreadLimit 300
ThreadsPerChild 300
MaxRequestWorkers 300
DocumentRoot {directory}/root
<Directory {directory}/root>
Require all granted
FileETag None
</Directory>
"""


class Apache(scenario.Service):
    """mpm_worker: one process with 300 threads."""

    name = "apache2"
    clients = 100
    sizes = (0, 10, 5000, 70000, 1000000)

    def __init__(self, directory):
        super().__init__(directory)
        root = os.path.join(directory, "root")
        os.makedirs(root)
        for size in self.sizes:
            with open(os.path.join(root, str(size)), "wb") as made:
                made.write(traffic.pattern(size))

    def command(self):
        path = os.path.join(self.directory, "apache.conf")
        with open(path, "w", encoding="ascii") as made:
            made.write(APACHE.format(directory=self.directory, port=self.port))
        return [harness.find_program("apache2"), "-f", path, "-DFOREGROUND"]

    async def requests(self):
        answers = {}
        for keep in (True, False):
            connection = await traffic.connect(self.port)
            for size in self.sizes if keep else (5000,):
                answer = await connection.exchange(traffic.http_request("GET", f"/{size}", keep=keep))
                # The counter of the kept connection's remaining requests, and the file's time, say nothing.
                if answer.split(b"\r\n\r\n", 1)[1] != traffic.pattern(size):
                    raise Failure(f"/{size}: a wrong body")
            await connection.close()
        return answers


class Mariadb(scenario.Service):
    """A thread a connection, with statements whose results are known."""

    name = "mariadb"
    clients = 40

    def command(self):
        data = os.path.join(self.directory, "data")
        if not os.path.exists(data):
            subprocess.run([harness.find_program("mariadb-install-db"), "--no-defaults", "--user=root",
                            f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"],
                           check=True, capture_output=True)
        return [harness.find_program("mariadbd"), "--no-defaults", "--user=root", f"--datadir={data}",
                f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self.directory}/socket",
                f"--log-error={self.directory}/errors", "--max-connections=500", "--innodb-buffer-pool-size=32M"]

    async def requests(self):
        process = await asyncio.create_subprocess_exec(
            harness.find_program("mariadb"), "--no-defaults", "-uroot", f"--socket={self.directory}/socket", "-N", "-B",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        text, _ = await process.communicate(b"""
            create database if not exists soak; use soak;
            create table if not exists shared(id int primary key, v bigint) engine=innodb;
            insert ignore into shared values (1, 0); update shared set v = v + 1 where id = 1;
            create temporary table t(id int auto_increment primary key, s varchar(2000)) engine=innodb;
            start transaction; insert into t(s) select repeat('x', seq) from seq_1_to_100;
            select count(*), sum(length(s)), md5(group_concat(s order by id)) from t; select sleep(0.01);
            delete from t where id % 2 = 0; commit; select count(*) from t;
            select repeat('ab', 100000) = concat(repeat('ab', 50000), repeat('ab', 50000));""")
        return {"output": text}


SERVERS = {"tinyproxy": tinyproxy.Tinyproxy, "stunnel": stunnel.Stunnel, "apache2": Apache, "mariadb": Mariadb}


def processes_of(group):
    """The server's processes: those in its process group."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(name)) == group:
                found.append(int(name))
    return found


class Watch:
    """Samples of what must not grow."""

    def __init__(self, server):
        self.server = server
        self.samples = []

    async def run(self):
        while True:
            pids = processes_of(self.server.pid)
            memory = sum(int((harness.status_field(pid, "VmRSS") or "0").split()[0]) for pid in pids)
            self.samples.append((memory, sum(map(harness.count_descriptors, pids)),
                                 max(map(harness.count_threads, pids), default=0)))
            await asyncio.sleep(SAMPLE_SECONDS)

    def judge(self, mode):
        third = len(self.samples) // 3
        early, late = self.samples[third:2 * third], self.samples[2 * third:]
        text = []
        for number, name in enumerate(("memory KiB", "descriptors", "kernel threads")):
            before, after = (max(sample[number] for sample in part) for part in (early, late))
            text.append(f"{name} {before} -> {after}")
            slack = GROWTH_KIB if number == 0 else 20
            if after > before * (1 + GROWTH_PART) + slack:
                raise Failure(f"{mode.name}: growth: {text[-1]}")
        if mode.preloaded and max(sample[2] for sample in self.samples) > harness.MOST_KERNEL_THREADS:
            raise Failure(f"{mode.name}: {text[-1]}")
        return ", ".join(text)


async def soak(service, mode, seconds):
    mode.dump_signal = service.dump_signal
    server = harness.Server(mode, service.command(), service.directory)
    watch = Watch(server)
    expected, rounds, deadline = {}, 0, time.monotonic() + seconds

    async def client():
        nonlocal rounds
        while time.monotonic() < deadline:
            for name, answer in (await service.requests()).items():
                harness.compare_bytes(mode, name, expected.setdefault(name, answer), answer)
            rounds += 1

    try:
        server.wait_until_listening(service.port)
        watcher = asyncio.ensure_future(watch.run())
        try:
            await traffic.in_parallel([client() for _ in range(service.clients)], service.clients)
        finally:
            watcher.cancel()
        verdict = watch.judge(mode)
        status = harness.describe_status(server.stop())
        print(f"{service.name}, {mode.name}: {rounds} rounds in {seconds:g} s, {verdict}; {status}", flush=True)
        return expected
    except (Failure, OSError, asyncio.IncompleteReadError) as failure:
        raise Failure(f"{mode.name}: after {rounds} rounds: {type(failure).__name__} {failure}\n"
                      f"{server.explain()}\n{server.errors()[-3000:]}") from None
    finally:
        server.kill()


async def soak_all(service, arguments):
    service.origin = traffic.Origin()
    await service.origin.start()
    native = None
    for mode in harness.modes(arguments):
        seconds = arguments.seconds if mode.preloaded else min(20, arguments.seconds)
        answers = await soak(service, mode, seconds)
        if native is None:
            native = answers
        harness.compare_answers(mode, native, answers)
    service.origin.close()


def configure(parser):
    parser.add_argument("--server", choices=sorted(SERVERS), required=True)
    parser.add_argument("--seconds", type=float, default=300)


def main():
    arguments = harness.parse_arguments(__doc__, configure)
    harness.raise_descriptor_limit()
    harness.run_test(lambda directory: asyncio.run(soak_all(SERVERS[arguments.server](directory), arguments)))


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""stunnel as a TLS server, with one thread a connection, in front of a plain HTTP server."""

import os
import signal
import ssl
import subprocess

import harness
import scenario
import traffic

CONFIGURATION = """\
foreground = yes
pid =
debug = notice
[https]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{origin}
cert = {certificate}
key = {key}
"""


class Stunnel(scenario.Service):
    name = "stunnel"
    opened_at_once = 40
    clients = 30
    # SIGUSR2 makes stunnel list its connections.
    dump_signal = signal.SIGPWR
    # At SIGTERM it joins its threads without a lock while they end and free their records.
    may_appear = ("pthread_join() failed",)

    def __init__(self, directory):
        super().__init__(directory)
        self.program = harness.find_program("stunnel4", "stunnel")
        self.certificate = os.path.join(directory, "certificate.pem")
        self.key = os.path.join(directory, "key.pem")
        self._make_certificate()
        self.context = ssl.create_default_context(cafile=self.certificate)

    def _make_certificate(self):
        made = subprocess.run([harness.find_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
                               "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out", self.certificate,
                               "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                              capture_output=True, check=False)
        if made.returncode != 0:
            raise harness.Failure(f"openssl made no certificate:\n{made.stderr.decode()}")

    def command(self):
        path = os.path.join(self.directory, "stunnel.conf")
        with open(path, "w", encoding="ascii") as configuration:
            configuration.write(CONFIGURATION.format(port=self.port, origin=self.origin.port, key=self.key,
                                                     certificate=self.certificate))
        return [self.program, path]

    async def _connect(self, **options):
        return await traffic.connect(self.port, ssl=self.context, server_hostname="localhost", **options)

    async def requests(self):
        connection = await self._connect()
        session = connection.writer.get_extra_info("ssl_object")
        answers = {"session": repr((session.version(), session.cipher())).encode(),
                   "certificate": session.getpeercert(binary_form=True)}
        await traffic.usual_exchanges(connection, answers)
        await connection.close()
        connection = await self._connect()
        answers["short-lived"] = await connection.exchange(traffic.http_request("GET", "/bytes/700", keep=False))
        answers["short-lived, end"] = await connection.read_to_end()
        await connection.close()
        return answers

    async def oddities(self):
        connection = await traffic.connect(self.port)
        connection.writer.write(traffic.http_request("GET", "/"))
        try:
            answer = await connection.read_to_end()
        except ConnectionResetError:
            answer = b"reset"
        await connection.close()
        return {"plain text": answer}

    async def open_idle(self, number):
        # By number: connected and no handshake yet, idle after the handshake, in the middle of a request, after one.
        if number % 4 == 0:
            return await traffic.connect(self.port)
        connection = await self._connect()
        if number % 4 == 2:
            connection.writer.write(self._idle_request(number)[:-2])
        elif number % 4 == 3:
            await connection.exchange(self._idle_request(1))
        return connection

    @staticmethod
    def _idle_request(number):
        return traffic.http_request("GET", f"/bytes/{number}")

    async def resume_idle(self, connection, number):
        if number % 4 == 0:
            await connection.writer.start_tls(self.context, server_hostname="localhost")
        return await connection.exchange(self._idle_request(number)[-2 if number % 4 == 2 else 0:])


if __name__ == "__main__":
    scenario.run_service(Stunnel, harness.parse_arguments(__doc__))

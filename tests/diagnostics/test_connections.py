#!/usr/bin/env python3
"""The dump of a server with 5,000 connections names the function that each waits in and the peer that it waits for."""

import resource
import socket
import sys
import tempfile
import time
import unittest

from diagnostics import LIBRARY, Program, ask_statistics, program, wait_until

CONNECTIONS = 5000


class Connections(unittest.TestCase):
    def check(self, mode):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < CONNECTIONS + 100:
            self.skipTest(f"RLIMIT_NOFILE is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        with tempfile.TemporaryDirectory() as scratch, \
                Program(LIBRARY, [program("server")], scratch, COSHIM_STACK_MODE=mode,
                        COSHIM_STACK_IDLE="100ms") as server:
            port = int(server.process.stdout.readline())
            clients = []
            for number in range(CONNECTIONS):
                client = socket.create_connection(("127.0.0.1", port))
                client.sendall(bytes([65 + number % 2]))
                clients.append(client)
            for number, client in enumerate(clients):
                self.assertEqual(client.recv(1), bytes([65 + number % 2]))
            time.sleep(0.5)

            began = time.monotonic()
            text = server.dump()
            text_seconds = time.monotonic() - began
            began = time.monotonic()
            dump = server.dump_json()
            json_seconds = time.monotonic() - began
            print(f"{mode}: {CONNECTIONS} connections: text {text_seconds:.2f} s, JSON {json_seconds:.2f} s",
                  file=sys.stderr)

            expected = {"127.0.0.1:%d" % client.getsockname()[1]:
                        "serve_odd_client" if number % 2 == 0 else "serve_even_client"
                        for number, client in enumerate(clients)}
            found = {}
            for thread in dump["threads"]:
                wait = thread.get("wait", {})
                if wait.get("kind") != "readable":
                    continue
                names = [frame.get("function") for frame in dump["backtraces"][thread["backtrace"]]["frames"]]
                found[wait["descriptors"][0]["peer"]] = next(name for name in names if name in set(expected.values()))
            self.assertEqual(found, expected)
            if mode == "elastic":
                self.check_that_stacks_stay_saved(server)
            self.assertEqual(text.count("waiting to read descriptor\n"), 2)  # two groups

            # It goes on as before.
            for client in clients[:200]:
                client.sendall(b"x")
                self.assertEqual(client.recv(1), b"x")
            for client in clients:
                client.close()
            self.assertEqual(server.end(), 0)

    def check_that_stacks_stay_saved(self, server):
        """Their bytes are read where they are saved: a dump does not bring 5,000 stacks back into memory."""
        def saved():
            return sum(1 for thread in server.dump_json()["threads"] if thread.get("stack", {}).get("saved"))

        wait_until(lambda: saved() >= CONNECTIONS, "all stacks are saved")
        self.assertGreaterEqual(saved(), CONNECTIONS)
        self.assertGreater(ask_statistics(server.pid)["stack_saved_bytes"], CONNECTIONS * 100)

    def test_private_stacks(self):
        self.check("private")

    def test_elastic_stacks(self):
        self.check("elastic")


if __name__ == "__main__":
    if not LIBRARY:
        sys.exit("COSHIM_TEST_LIBRARY and COSHIM_TEST_PROGRAMS are not set")
    unittest.main(verbosity=2)

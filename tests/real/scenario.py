"""The one scenario that every threaded server goes through, natively and preloaded; answers are compared byte by byte.

Thousands of idle connections stand while others are served; then half of the idle ones go on, and the server is stopped
with the rest still open.
"""

import asyncio
import signal
import time

import harness
from harness import Failure
from traffic import Origin, in_parallel

ACCEPT_SECONDS = 60
SAMPLE_SECONDS = 0.02
# More native runs, where the end of a preloaded one is not that of the first native one.
NATIVE_RERUNS = 3


class Service:
    """What a test says about its server. The methods are given the port of the origin through self.origin."""

    name = ""
    # How many connections the test opens at a time: not more than the server's listen backlog holds.
    opened_at_once = 50
    # Clients that are served at the same time, and how often each goes through all kinds of request.
    clients = 60
    rounds = 2
    dump_signal = signal.SIGUSR2
    # What the server may print on stderr in one run and not in the next, natively too.
    may_appear = ()

    def __init__(self, directory):
        self.directory = directory
        self.port = harness.free_port()
        self.origin = None

    def command(self):
        """The server's command line; called once a run, so that it may write configuration files."""
        raise NotImplementedError

    async def requests(self):
        """One client going through all kinds of request on connections of its own: {name: answer}."""
        raise NotImplementedError

    async def oddities(self):
        """What is asked once, before the crowd comes: refused, malformed and unusual requests."""
        return {}

    async def open_idle(self, number):
        """Returns an idle connection."""
        raise NotImplementedError

    async def resume_idle(self, connection, number):
        """Goes on with an idle connection and returns the answer."""
        raise NotImplementedError

    async def rude(self, number):
        """A client that goes away in the middle; there is no answer to compare."""


class Outcome:
    """What one run showed."""

    def __init__(self):
        self.answers = {}
        self.status = None
        self.errors = ""
        self.threads = 0


class Run:
    """One server process going through the scenario."""

    def __init__(self, service, mode, idle):
        self.service = service
        self.mode = mode
        self.idle = idle
        self.outcome = Outcome()
        mode.dump_signal = service.dump_signal
        self.server = harness.Server(mode, service.command(), service.directory)

    async def go(self):
        self.server.wait_until_listening(self.service.port)
        self.outcome.answers.update(await self.service.oddities())
        idle = await self._open_idle()
        await self._wait_for_threads()
        watcher = asyncio.ensure_future(self._watch_threads())
        try:
            await self._serve_crowd()
            await self._resume_half(idle)
        finally:
            watcher.cancel()
        self._check_limit()
        await self._stop(idle)
        return self.outcome

    async def _open_idle(self):
        """Opens the idle connections in batches and waits until the server has accepted each batch."""
        idle = {}
        for start in range(0, self.idle, self.service.opened_at_once):
            numbers = range(start, min(start + self.service.opened_at_once, self.idle))
            opened = await in_parallel([self.service.open_idle(number) for number in numbers], len(numbers))
            idle.update(zip(numbers, opened))
            await self._wait_until_accepted()
        return idle

    async def _wait_until_accepted(self):
        deadline = time.monotonic() + ACCEPT_SECONDS
        while harness.waiting_to_be_accepted(self.service.port) != 0:
            if time.monotonic() > deadline:
                raise Failure(f"connections wait to be accepted for {ACCEPT_SECONDS} s")
            await asyncio.sleep(0.005)

    async def _wait_for_threads(self):
        """Natively one thread a connection, or the limit on kernel threads would prove nothing."""
        deadline = time.monotonic() + ACCEPT_SECONDS
        while True:
            self._sample_threads()
            if self.mode.preloaded or self.outcome.threads >= self.idle:
                break
            if time.monotonic() > deadline:
                raise Failure(f"only {self.outcome.threads} threads natively with {self.idle} idle connections")
            await asyncio.sleep(SAMPLE_SECONDS)
        self._check_limit()

    def _sample_threads(self):
        self.outcome.threads = max(self.outcome.threads, harness.count_threads(self.server.pid))

    async def _watch_threads(self):
        while True:
            self._sample_threads()
            await asyncio.sleep(SAMPLE_SECONDS)

    def _check_limit(self):
        if self.mode.preloaded and self.outcome.threads > harness.MOST_KERNEL_THREADS:
            raise Failure(f"{self.outcome.threads} kernel threads, at most {harness.MOST_KERNEL_THREADS} expected")

    async def _serve_crowd(self):
        at_once = min(self.service.clients, self.service.opened_at_once)
        jobs = [self.service.requests() for _ in range(self.service.clients * self.service.rounds)]
        rude = [self.service.rude(number) for number in range(self.service.clients)]
        results = await in_parallel(jobs + rude, at_once)
        for number, answers in enumerate(results[:len(jobs)]):
            for name, answer in answers.items():
                # Every client asks the same: every client is to get the same.
                if self.outcome.answers.setdefault(name, answer) != answer:
                    harness.compare_bytes(self.mode, f"{name}, client {number}", self.outcome.answers[name], answer)

    async def _resume_half(self, idle):
        # Four of eight, so that every kind of idle connection goes on, and every kind is there at the stop.
        numbers = [number for number in range(self.idle) if number // 4 % 2 == 0]
        answers = await in_parallel([self._resume_one(idle.pop(number), number) for number in numbers],
                                    self.service.opened_at_once)
        for number, answer in zip(numbers, answers):
            self.outcome.answers[f"idle connection {number}"] = answer

    async def _resume_one(self, connection, number):
        answer = await self.service.resume_idle(connection, number)
        await connection.close()
        return answer

    async def _stop(self, idle):
        """SIGTERM while the rest of the idle connections is still open."""
        self.server.process.terminate()
        deadline = time.monotonic() + harness.STOP_SECONDS
        while self.server.process.poll() is None:
            if time.monotonic() > deadline:
                raise Failure(f"no end {harness.STOP_SECONDS} s after SIGTERM")
            await asyncio.sleep(SAMPLE_SECONDS)
        self.outcome.status = self.server.process.returncode
        for connection in idle.values():
            connection.reset()
        if harness.is_listening(self.service.port):
            raise Failure("somebody still listens on the server's port after its end")
        self.outcome.errors = self.server.errors()


async def run_mode(service, mode, arguments):
    run = Run(service, mode, arguments.idle)
    try:
        return await asyncio.wait_for(run.go(), arguments.timeout)
    except asyncio.TimeoutError:
        trouble = f"hangs: no end after {arguments.timeout:g} s"
    except (Failure, OSError, asyncio.IncompleteReadError) as failure:
        trouble = f"{type(failure).__name__}: {failure}"
    finally:
        # The explanation needs the process; whoever leaves by an exception leaves nothing running.
        explanation = run.server.explain()
        run.server.kill()
    raise Failure(f"{mode.name}: {trouble}\n{explanation}\nstderr:\n{run.server.errors()[-4000:]}")


class Oracle:
    """The native run, and more of them where a server does not always end in the same way natively."""

    def __init__(self, service, arguments):
        self.service = service
        self.arguments = arguments
        self.answers = {}
        self.statuses = set()
        self.errors = ""

    async def ask(self):
        outcome = await run_mode(self.service, harness.Mode(), self.arguments)
        if self.answers:
            harness.compare_answers(harness.Mode(), self.answers, outcome.answers)
        self.answers = outcome.answers
        self.statuses.add(outcome.status)
        self.errors += outcome.errors
        return outcome

    async def judge(self, mode, outcome):
        harness.compare_answers(mode, self.answers, outcome.answers)
        for attempt in range(NATIVE_RERUNS + 1):
            try:
                self._judge_end(mode, outcome)
                return
            except Failure:
                if attempt == NATIVE_RERUNS:
                    raise
            await self.ask()

    def _judge_end(self, mode, outcome):
        if outcome.status not in self.statuses:
            natively = " or ".join(sorted(map(harness.describe_status, self.statuses)))
            raise Failure(f"{mode.name}: {harness.describe_status(outcome.status)} after SIGTERM, natively {natively}")
        harness.compare_errors(mode, self.errors, outcome.errors, self.service.may_appear)


async def run_all_modes(service, arguments):
    # One origin for all modes: its port shows in answers.
    service.origin = Origin()
    await service.origin.start()
    oracle = Oracle(service, arguments)
    for mode in harness.modes(arguments):
        began = time.monotonic()
        if mode.preloaded:
            outcome = await run_mode(service, mode, arguments)
            await oracle.judge(mode, outcome)
        else:
            outcome = await oracle.ask()
        print(f"{service.name}, {mode.name}: {len(outcome.answers)} answers{' as natively' if mode.preloaded else ''}, "
              f"at most {outcome.threads} kernel threads with {arguments.idle} idle connections, "
              f"{harness.describe_status(outcome.status)} ({time.monotonic() - began:.0f} s)", flush=True)
    service.origin.close()


def run_service(service_class, arguments):
    """The whole test of one server."""
    harness.raise_descriptor_limit()
    harness.run_test(lambda directory: asyncio.run(run_all_modes(service_class(directory), arguments)))

#!/usr/bin/env python3
"""Measures the shim against the native run (and a hand-written epoll loop) in one run; prints ratios and the goals beside them.

  bench/run.py [--build DIR] [--quick] [--only switch,create,mutex,condition,echo,churn,memory] [--json FILE]

Native and shim runs alternate; figures are medians. The echo servers are pinned to one core and the client to another.
Costs are CPU time (of the process; utime + stime), which is steadier than wall time on a shared machine.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERTZ = os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, options):
        self.options = options
        self.build = os.path.abspath(options.build)
        self.lib = os.path.join(self.build, "libcoshim.so")
        self.repeat = 1 if options.quick else 3
        self.results = []

    def environment(self, shim):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COSHIM_") and k != "LD_PRELOAD"}
        if shim:
            environment["LD_PRELOAD"] = self.lib
        return environment

    def row(self, name, native, shim, goal=None, bound=None, unit="ns", note=""):
        ratio = shim / native if native else float("nan")
        met = ""
        if goal is not None:
            met = "met" if ratio <= goal else "NOT MET"
        self.results.append({"name": name, "native": native, "shim": shim, "bound": bound, "ratio": ratio, "goal": goal,
                             "unit": unit, "note": note})
        text_bound = f"{bound:12.1f}" if bound is not None else " " * 12
        text_goal = f"<= {goal:.3g}: {met}" if goal is not None else ""
        print(f"{name:34} {native:12.1f} {shim:12.1f} {text_bound} {unit:8} {ratio:8.3f}  {text_goal} {note}", flush=True)

    # --- single operations ---

    def micro(self, mode, shim):
        command = ["taskset", "-c", "0", os.path.join(self.build, "bench", "micro"), mode]
        return float(subprocess.run(command, env=self.environment(shim), check=True, capture_output=True, text=True,
                                    timeout=300).stdout)

    def micro_pair(self, mode):
        native, shim = [], []
        for _ in range(self.repeat):
            native.append(self.micro(mode, False))
            shim.append(self.micro(mode, True))
        return statistics.median(native), statistics.median(shim)

    def run_micro(self, only):
        if "switch" in only:
            bare = statistics.median(self.micro("bare", False) for _ in range(self.repeat))
            native, shim = self.micro_pair("switch")
            self.row("switch (sched_yield)", native, shim, bound=bare)
            self.row("switch against the bare swap", bare, shim, goal=3.0, note="bare register swap with FS write as 1")
            self.row("semaphore hand-over", *self.micro_pair("semaphore"))
        if "create" in only:
            self.row("create + join", *self.micro_pair("create"), goal=1 / 30)
            self.row("create + join, waves of 100", *self.micro_pair("create-wave"))
        if "mutex" in only:
            self.row("mutex, uncontended", *self.micro_pair("mutex"), goal=1.3)
            self.row("mutex, 8 threads contend", *self.micro_pair("contended"))
        if "condition" in only:
            self.row("condition hand-over", *self.micro_pair("condition"))

    # --- servers ---

    def start_server(self, program, shim, core="0"):
        process = subprocess.Popen(["taskset", "-c", core, os.path.join(self.build, program)], env=self.environment(shim),
                                   stdout=subprocess.PIPE, text=True)
        line = process.stdout.readline()
        if not line.startswith("listening on"):
            raise SystemExit(f"{program} did not start")
        return process, int(line.rsplit(":", 1)[1])

    @staticmethod
    def cpu_seconds(pid):
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / HERTZ

    @staticmethod
    def status(pid):
        values = {}
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                key, _, rest = line.partition(":")
                values[key] = rest.split()[0] if rest.split() else ""
        return values

    def echo(self, program, shim, connections, seconds):
        server, port = self.start_server(program, shim)
        try:
            client = subprocess.Popen(["taskset", "-c", "1", os.path.join(self.build, "bench", "echo_load"), str(port),
                                       str(connections), str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if client.stdout.readline() != "connected\n":
                raise SystemExit("echo_load could not connect")
            status = self.status(server.pid)
            before = self.cpu_seconds(server.pid)
            client.stdin.write("go\n")
            client.stdin.flush()
            words = client.stdout.readline().split()
            if len(words) != 4:
                raise SystemExit("echo_load failed")
            cpu = self.cpu_seconds(server.pid) - before
            client.communicate("end\n")
            messages, elapsed, p50, p99 = int(words[0]), *map(float, words[1:])
            return {"rate": messages / elapsed, "cpu": cpu / messages * 1e6, "p99": p99, "p50": p50,
                    "threads": int(status["Threads"]), "rss": int(status["VmRSS"]) + int(status["VmPTE"])}
        finally:
            server.kill()
            server.wait()

    def echo_set(self, connections, seconds):
        runs = {"native": [], "shim": [], "epoll": []}
        for _ in range(self.repeat):
            runs["native"].append(self.echo("demo_apps/echo_server", False, connections, seconds))
            runs["shim"].append(self.echo("demo_apps/echo_server", True, connections, seconds))
            runs["epoll"].append(self.echo("bench/echo_epoll", False, connections, seconds))
        return {who: {key: statistics.median(run[key] for run in list_) for key in list_[0]} for who, list_ in runs.items()}

    def run_echo(self):
        seconds = 1.5 if self.options.quick else 4
        for connections in (1, 100, 1000) if self.options.quick else (1, 100, 1000, 8000):
            s = self.echo_set(connections, seconds)
            name = f"echo, {connections} connections"
            goal = 0.75 if connections == 1000 else None
            self.row(name + ": CPU/message", s["native"]["cpu"], s["shim"]["cpu"], goal=goal, bound=s["epoll"]["cpu"], unit="us")
            if connections == 1000:
                self.row("  ... against the epoll loop", s["epoll"]["cpu"], s["shim"]["cpu"], goal=1.25, unit="us")
            self.row("  messages per second", s["native"]["rate"], s["shim"]["rate"], bound=s["epoll"]["rate"], unit="1/s")
            self.row("  p99", s["native"]["p99"], s["shim"]["p99"], bound=s["epoll"]["p99"], unit="us")
            self.row("  kernel threads", s["native"]["threads"], s["shim"]["threads"], bound=s["epoll"]["threads"], unit="")
            self.row("  RSS + page tables", s["native"]["rss"], s["shim"]["rss"], bound=s["epoll"]["rss"], unit="KiB")

    def run_churn(self):
        s = self.echo_set(0, 1.5 if self.options.quick else 4)
        self.row("connect, one message, close: CPU", s["native"]["cpu"], s["shim"]["cpu"], bound=s["epoll"]["cpu"], unit="us")

    # --- memory ---

    @staticmethod
    def system_memory():
        with open("/proc/meminfo") as meminfo:
            values = {line.split(":")[0]: int(line.split()[1]) for line in meminfo}
        return values["AnonPages"] + values["Slab"] + values["KernelStack"] + values["PageTables"]

    def idle(self, shim, count, kind):
        process = subprocess.Popen([os.path.join(self.build, "bench", "idle_threads"), str(count), kind],
                                   env=self.environment(shim), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            if process.stdout.readline() != "ready\n":
                raise SystemExit("idle_threads failed")
            time.sleep(0.3)
            before = self.system_memory()
            process.stdin.write("\n")
            process.stdin.flush()
            if process.stdout.readline() != "idle\n":
                raise SystemExit("idle_threads failed")
            time.sleep(0.5)
            return (self.system_memory() - before) * 1024 / count
        finally:
            process.kill()
            process.wait()
            time.sleep(0.5)

    def run_memory(self):
        count = 4000
        for kind in ("read", "condition"):
            native = statistics.median(self.idle(False, count, kind) for _ in range(self.repeat))
            shim = statistics.median(self.idle(True, count, kind) for _ in range(self.repeat))
            self.row(f"memory per idle thread ({kind})", native, shim, goal=0.4 if kind == "read" else None, unit="bytes",
                     note="user, kernel, page tables; default 8 MiB stacks")

    def run(self):
        only = set(self.options.only.split(","))
        print(f"{'what':34} {'native':>12} {'shim':>12} {'bound':>12} {'unit':8} {'ratio':>8}  goal")
        self.run_micro(only)
        if "echo" in only:
            self.run_echo()
        if "churn" in only:
            self.run_churn()
        if "memory" in only:
            self.run_memory()
        if self.options.json:
            with open(self.options.json, "w") as out:
                json.dump(self.results, out, indent=1)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(here, "..", "build"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="switch,create,mutex,condition,echo,churn,memory")
    parser.add_argument("--json")
    options = parser.parse_args()
    bench = Bench(options)
    if not os.path.exists(bench.lib):
        sys.exit(f"bench/run.py: no {bench.lib}: build first, or give --build")
    bench.run()


if __name__ == "__main__":
    main()

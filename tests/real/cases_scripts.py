"""Cases of programs.py that are scripts of their own, in cases/: threaded programs with their real clients."""

import os

import harness
from cases_commands import Case, run_command

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases")
PORTS = [harness.free_port() for _ in range(10)]


def check_threads(mode, path):
    """Each line: a program, and how many kernel threads one of its processes had under load."""
    with open(path, encoding="ascii") as lines:
        found = [line.split() for line in lines]
    if found:
        print(f"  {mode.name}, kernel threads: " + ", ".join(f"{name} {count}" for name, count in found), flush=True)
    many = [f"{name}: {count}" for name, count in found if int(count) > harness.MOST_KERNEL_THREADS]
    if mode.preloaded and many:
        raise harness.Failure(f"{mode.name}: kernel threads, at most {harness.MOST_KERNEL_THREADS} expected: {many}")


def script_case(name, needs, expected, **variables):
    path = os.path.join(HERE, name)
    interpreter = "/usr/bin/python3" if name.endswith(".py") else "bash"

    def run(mode, scratch, timeout):
        threads = os.path.join(scratch, ".threads")
        open(threads, "w", encoding="ascii").close()
        environment = {"CASES": HERE, "PORTS": " ".join(map(str, PORTS)), "THREADS": threads, **variables}
        transcript = run_command([interpreter, path], mode, scratch, timeout, environment)
        check_threads(mode, threads)
        return transcript

    return Case(needs, run, expected)


CASES = {
    "threads": script_case("threads.py", ["python3"], b"[50000]"),
    "apache-worker": script_case("apache.sh", ["apache2", "ab", "curl", "openssl"], b"apache2 ended with 0", MPM="worker"),
    "apache-event": script_case("apache.sh", ["apache2", "ab", "curl", "openssl"], b"apache2 ended with 0", MPM="event"),
    "mariadb": script_case("mariadb.sh", ["mariadbd", "mariadb", "mariadb-slap"], b"mariadbd ended with 0"),
    "proxies": script_case("proxies.sh", ["haproxy", "varnishd", "squid", "nginx", "ab", "curl", "openssl"],
                           b"squid ended with 0"),
    "clients": script_case("clients.sh", ["curl", "wget", "git", "openssl", "rsync", "python3"], b"local: 0"),
    "names": script_case("names.sh", ["named", "unbound", "dnsmasq", "dig"], b"10.9.9.9"),
    "directory": script_case("directory.sh", ["slapd", "ldapadd", "mosquitto", "mosquitto_pub"], b"slapd ended with 0"),
    "stream": script_case("stream.sh", ["icecast2", "ffmpeg", "curl"], b"icecast2 ended with 0"),
    "system": script_case("system.sh", ["rsyslogd", "sshd", "ssh", "cupsd", "lpstat"], b"scheduler is running"),
    "postgres": script_case("postgres.sh", ["psql", "setpriv"], b"20000|990000"),
    "compressors": script_case("compressors.sh", ["pigz", "pbzip2", "xz", "zstd"], b"pbzip2 -p4: 0"),
    "java": script_case("java.sh", ["java", "javac"], b"caught overflow in main"),
    "ruby": script_case("ruby.sh", ["ruby", "puma", "curl"], b"puma ended"),
    "perl": script_case("perl.sh", ["perl"], b"from a thread"),
    "go": script_case("go.sh", ["go", "gcc"], b"49000"),
    "rust": script_case("rust.sh", ["rustc"], b"1225000"),
    "erlang": script_case("erlang.sh", ["erl"], b"333833500"),
    "media": script_case("media.sh", ["ffmpeg", "sox", "qemu-img"], b"Images are identical"),
    "gdb": script_case("gdb.sh", ["gdb", "gcc"], b"exited with code 05"),
    "chromium": script_case("chromium.sh", ["chromium"], b"<i>42</i>"),
}

#!/usr/bin/env python3
"""coshim run, env and the refusals of every command: values, exit codes, one line for every error, completion."""
import json
import os
import shutil
import subprocess
import tempfile

import tool

options = tool.parse(__doc__)
coshim = options.launcher


def refusals():
    tool.one_line(tool.run(coshim), 64, "no command")
    tool.one_line(tool.run(coshim, "frobnicate"), 64, "frobnicate")
    tool.one_line(tool.run(coshim, "run"), 64, "no program")
    tool.one_line(tool.run(coshim, "run", "--stack-siz", "64K", "true"), 64, "--stack-siz")
    tool.one_line(tool.run(coshim, "run", "--stack-size=banana", "true"), 64, "COSHIM_STACK_SIZE", "banana")
    tool.one_line(tool.run(coshim, "run", "NO_SUCH=1", "true"), 64, "COSHIM_NO_SUCH")
    tool.one_line(tool.run(coshim, "run", "--", "/nowhere/program"), 127, "/nowhere/program")
    tool.one_line(tool.run(coshim, "run", "--", "/"), 126)
    tool.one_line(tool.run(coshim, "check"), 64)
    tool.one_line(tool.run(coshim, "check", "/nowhere/program"), 66, "/nowhere/program")
    tool.one_line(tool.run(coshim, "check", "/"), 66, "directory")
    tool.one_line(tool.run(coshim, "env", "1", "2"), 64)
    for command in ("dump", "stats"):
        tool.one_line(tool.run(coshim, command), 64)
    for command in (["dump"], ["top", "--once"], ["stats"], ["env"]):
        tool.one_line(tool.run(coshim, *command, "banana"), 64, "banana")
        tool.one_line(tool.run(coshim, *command, "-1"), 64)
        tool.one_line(tool.run(coshim, *command, "99999999999"), 64)
        tool.one_line(tool.run(coshim, *command, "4194304"), 66, "4194304")  # above the largest process id
        tool.one_line(tool.run(coshim, *command, "--no-such-option", "1"), 64, "--no-such-option")
        tool.one_line(tool.run(coshim, *command, str(os.getpid())), 69, "not run under the shim")
    tool.one_line(tool.run(coshim, "top", "1"), 64, "terminal")
    tool.one_line(tool.run(coshim, "top", "--interval", "0", "1"), 64, "--interval")
    tool.one_line(tool.run(coshim, "dump", "--timeout", "soon", "1"), 64, "--timeout")
    tool.one_line(tool.run(coshim, "stats", "--label", "no label", "1"), 64, "--label")
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run([coshim, "env"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        tool.expect(result.returncode == 74 and result.stderr.count("\n") == 1, "a full disk", result)


def help_texts():
    for command in ("run", "dump", "top", "stats", "check", "env"):
        for words in ((command, "--help"), ("help", command)):
            result = tool.run(coshim, *words)
            tool.expect(result.returncode == 0 and result.stdout.startswith(f"usage: coshim {command}") and not result.stderr,
                        f"help of {command}", result)
        tool.expect(command in tool.run(coshim, "--help").stdout, f"{command} is not listed")
    tool.expect(tool.run(coshim, "version").stdout.startswith("coshim "), "version")


def run_command():
    shown = tool.run(coshim, "run", "--stack-size", "64K", "--workers=2", "HOG_MS=20", "COSHIM_LOG=error", "--", "env",
                     environment=tool.clean_environment(LD_PRELOAD="libm.so.6"))
    values = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
    tool.expect(values["LD_PRELOAD"] == f"{options.library}:libm.so.6", "LD_PRELOAD", shown)
    for name, value in (("STACK_SIZE", "64K"), ("WORKERS", "2"), ("HOG_MS", "20"), ("LOG", "error")):
        tool.expect(values["COSHIM_" + name] == value, name, shown)
    again = tool.run(coshim, "run", "env", environment=tool.clean_environment(LD_PRELOAD=f"{options.library}:libm.so.6"))
    tool.expect(again.stdout.count("libcoshim.so") == 1, "preloaded twice", again)
    printed = tool.run(coshim, "run", "--workers", "3", "--print")
    tool.expect("COSHIM_WORKERS=3\n" in printed.stdout and f"LD_PRELOAD={options.library}\n" in printed.stdout, "--print", printed)
    tool.expect(tool.run(coshim, "run", "sh", "-c", "exit 7").returncode == 7, "the program's exit status")
    # It takes the launcher's place.
    with tool.running(coshim, "run", "--", "sleep", "100") as process:
        tool.until(lambda: open(f"/proc/{process.pid}/comm", encoding="ascii").read() == "sleep\n", "exec")
    static = tool.run(coshim, "run", "--", "/sbin/ldconfig", "--version")
    if tool.run(coshim, "check", "/sbin/ldconfig").returncode == 1:  # it is static, as Debian's is
        tool.expect(static.returncode == 0 and static.stderr.count("\n") == 1 and "native" in static.stderr, "static", static)
        tool.expect(tool.run(coshim, "run", "--quiet", "/sbin/ldconfig", "--version").stderr == "", "--quiet")


def run_paths():
    """Spaces, relative paths, the program's own options, and what can't be executed."""
    with tempfile.TemporaryDirectory() as directory:
        place = os.path.join(directory, "a place")
        os.mkdir(place)

        def make(name, text, mode):
            with open(os.path.join(place, name), "w", encoding="ascii") as file:
                file.write(text)
            os.chmod(os.path.join(place, name), mode)

        make("my program", '#!/bin/sh\nprintf "[%s]" "$@" "$COSHIM_WORKERS"\nexit 3\n', 0o755)
        make("plain text", 'echo by the shell "$@"\n', 0o755)
        make("not executable", "#!/bin/sh\n", 0o644)
        make("lost interpreter", "#!/no/such/interpreter\n", 0o755)
        shown = tool.run(coshim, "run", "--workers", "2", "--", "a place/my program", "x y", "--workers", "5", "--", "-z", cwd=directory)
        tool.expect((shown.returncode, shown.stdout) == (3, "[x y][--workers][5][--][-z][2]"), "its own options", shown)
        shown = tool.run(coshim, "run", "./my program", "--workers=7", cwd=place)
        tool.expect(shown.stdout == "[--workers=7][]", "options after the program", shown)
        shown = tool.run(os.path.relpath(coshim, place), "run", "./plain text", "1", cwd=place)
        tool.expect(shown.stdout == "by the shell 1\n", "a script without #!, as env(1) runs it", shown)
        tool.one_line(tool.run(coshim, "run", "--", "./not executable", cwd=place), 126, "Permission denied")
        tool.one_line(tool.run(coshim, "run", "--", "./lost interpreter", cwd=place), 127)
        tool.one_line(tool.run(coshim, "run", "--", "no-such-command", cwd=place), 127, "no-such-command")
        tool.one_line(tool.run(coshim, "run", "--", ""), 127)
        with open("/bin/true", "rb") as file:
            image = bytearray(file.read())
        image[18:20] = (183).to_bytes(2, "little")  # aarch64
        with open(os.path.join(place, "foreign"), "wb") as file:
            file.write(image)
        os.chmod(os.path.join(place, "foreign"), 0o755)
        shown = tool.run(coshim, "run", "--quiet", "./foreign", cwd=place)
        tool.one_line(shown, 126, "Exec format error")
        # ld.so takes no path with a space in it.
        for name in ("coshim", "libcoshim.so"):
            shutil.copy(os.path.join(options.build, name), place)
        tool.one_line(tool.run(os.path.join(place, "coshim"), "run", "true"), 78, "space")


def processes_of_others():
    """Another user's process, and one that has ended but was not waited for."""
    with tool.running(coshim, "run", "--", "sleep", "100") as process:
        if os.getuid() == 0:
            for command in (["env"], ["dump"], ["stats"], ["top", "--once"]):
                refused = tool.run(coshim, *command, str(process.pid), user=65534, group=65534, extra_groups=[])
                tool.one_line(refused, 77, str(process.pid))
        process.kill()
        tool.until(lambda: " Z " in open(f"/proc/{process.pid}/stat", encoding="ascii").read(), "a zombie")
        for command in (["env"], ["dump"], ["stats"], ["top", "--once"]):
            tool.one_line(tool.run(coshim, *command, str(process.pid)), 66, "ended")


def env_command():
    environment = tool.clean_environment(COSHIM_WORKERS="3", COSHIM_HOG_MS="soon", COSHIM_WROKERS="1")
    rows = {row["name"]: row for row in json.loads(tool.run(coshim, "env", "--json", environment=environment).stdout)}
    tool.expect(rows["COSHIM_WORKERS"]["value"] == "3" and "environment" in rows["COSHIM_WORKERS"]["origin"], "value", rows)
    tool.expect(rows["COSHIM_HOG_MS"]["value"] == "10" and "malformed" in rows["COSHIM_HOG_MS"]["origin"], "malformed", rows)
    tool.expect(rows["COSHIM_LOG"]["origin"] == "default" and rows["COSHIM_LOG"]["meaning"], "default", rows)
    tool.expect("no such variable" in rows["COSHIM_WROKERS"]["origin"], "unknown", rows)
    text = tool.run(coshim, "env", "--meaning", environment=environment).stdout
    tool.expect(all(name in text and row["meaning"] in text for name, row in rows.items()), "text", text)
    with tool.running(coshim, "run", "--workers", "4", "--", "sleep", "100") as process:
        tool.until(lambda: "libcoshim" in open(f"/proc/{process.pid}/maps", encoding="utf-8").read() and
                   open(f"/proc/{process.pid}/comm", encoding="ascii").read() == "sleep\n", "start")
        rows = {row["name"]: row for row in json.loads(tool.run(coshim, "env", "--json", str(process.pid)).stdout)}
        tool.expect(rows["COSHIM_WORKERS"]["value"] == "4" and str(process.pid) in rows["COSHIM_WORKERS"]["origin"], "of a process")
        # No thread, so no runtime: asking must not end it (the signal's default action would).
        for command in (["dump"], ["top", "--once"], ["stats"]):
            tool.one_line(tool.run(coshim, *command, str(process.pid)), 69, "no thread")
        tool.expect(process.poll() is None, "asking has ended the process")


def completion():
    script = os.path.join(options.source, "tools/completion/coshim.bash")

    def complete(*words):
        quoted = " ".join(f"'{word}'" for word in words)
        code = f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _coshim; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        environment = tool.clean_environment()
        environment["PATH"] = options.build + ":" + environment["PATH"]
        return tool.run("bash", "--norc", "-c", code, environment=environment).stdout.split()

    tool.expect({"run", "dump", "top", "stats", "check", "env"} <= set(complete("coshim", "")), "commands")
    tool.expect(complete("coshim", "st") == ["stats"], "a command's beginning")
    tool.expect("--prometheus" in complete("coshim", "stats", "--"), "options")
    tool.expect("--stack-size" in complete("coshim", "run", "--st"), "variables as options")
    with tool.running(coshim, "run", "--", "sleep", "100") as process:
        tool.until(lambda: str(process.pid) in complete("coshim", "dump", ""), "processes")
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "some-server")
        open(path, "w", encoding="ascii").close()
        tool.expect(path in complete("coshim", "check", path[:-3]), "files")


def typed():
    """In a shell that somebody types into."""
    import pty
    script = os.path.join(options.source, "tools/completion/coshim.bash")
    environment = tool.clean_environment(PS1="", TERM="dumb")
    environment["PATH"] = options.build + ":" + environment["PATH"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    os.write(terminal, f"source {script}\n".encode() + b"coshim ver\t\n" + b"coshim stats --prom\t999999999999\n" + b"exit\n")
    said = b""
    try:
        while part := os.read(terminal, 4096):
            said += part
    except OSError:  # its end
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    tool.expect(b"coshim 0." in said and b"coshim stats --prometheus" in said, "tab completion in a shell", said)


refusals()
help_texts()
run_command()
run_paths()
processes_of_others()
env_command()
completion()
typed()
print("as they should be")

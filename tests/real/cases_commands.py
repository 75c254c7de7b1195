"""Cases of programs.py that are commands: scripts, tools, compilers, and what a program without threads looks like."""

import os
import subprocess

import harness
from harness import Failure


class Case:
    """A case: the programs it needs, what it runs, and a word that its native transcript must contain."""

    def __init__(self, needs, run, expected):
        self.needs = needs
        self.run = run
        self.expected = expected

    def check(self, transcript):
        """A transcript that shows nothing would equal any other."""
        joined = b"".join(transcript.values())
        if self.expected not in joined:
            raise Failure(f"the native transcript lacks {self.expected!r}:\n{joined.decode(errors='replace')[-3000:]}")


def run_command(command, mode, scratch, timeout, extra_environment=None):
    """Runs one command to its end; returns its exit status, stdout and stderr."""
    dump_path = os.path.join(scratch, ".dump")
    environment = mode.environment(dump_path, {"HOME": scratch, **(extra_environment or {})})
    paths = [os.path.join(scratch, name) for name in (".stdout", ".stderr")]
    # Files and not pipes: a child that outlives the command can't keep the test waiting.
    with open(paths[0], "wb") as out, open(paths[1], "wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=scratch,
                                   env=environment, start_new_session=True)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"{mode.name}: {command[0]} hangs\n"
                          + harness.explain(process.pid, mode, dump_path)) from None
        finally:
            harness.kill_group(process)
    texts = []
    for path in paths:
        with open(path, "rb") as text:
            texts.append(text.read())
        os.unlink(path)
    return {"exit status": harness.describe_status(status).encode(), "stdout": texts[0], "stderr": texts[1]}


def bash_case(script, extra_environment=None):
    """A case's run function for a bash script, written to a file so that $0 and line numbers are the same."""
    def run(mode, scratch, timeout):
        path = os.path.join(scratch, "script.sh")
        with open(path, "w", encoding="utf-8") as made:
            made.write(script)
        return run_command(["bash", path], mode, scratch, timeout, extra_environment)
    return run


BASH = r"""
set -u
echo "arguments: $# pipe: $(printf '%s\n' c a b | sort | tr '\n' ' ')"
trap 'echo "trapped USR1"' USR1
trap 'echo "leaving with $?"' EXIT
kill -USR1 $$
for n in 1 2 3; do (sleep 0.0$n; exit $n) & pids[$n]=$!; done
for n in 1 2 3; do wait "${pids[$n]}"; echo "child $n: $?"; done
diff <(seq 1 5) <(seq 1 2 9) && echo same || echo "differ: $?"
coproc BC { while read -r a b; do echo $((a * b)); done; }
echo "6 7" >&"${BC[1]}"; read -r product <&"${BC[0]}"; echo "coprocess: $product"
exec {closing}>&"${BC[1]}"; eval "exec ${BC[1]}>&-"; exec {closing}>&-
read -t 0.05 -r nothing < <(sleep 0.3) || echo "read timed out: $(( $? > 128 ))"
cat <<END | while read -r line; do echo "<$line>"; done
one
two
END
mkfifo pipe; (echo through the fifo > pipe) & cat pipe; wait
(ulimit -n 50; ulimit -n)
bash -c 'kill -TERM $$'; echo "child killed: $?"
timeout 0.2 sleep 5; echo "timeout: $?"
nonexistent-command; echo "not found: $?"
yes | head -n 100000 | md5sum
seq 20 | xargs -P 4 -n 5 echo | sort -n
find /usr/share/common-licenses -type f | sort | xargs cat | gzip -c | gunzip -c | sha256sum
exec 3<>/dev/null; echo "descriptors: $(ls /proc/self/fd | tr '\n' ' ')"
(exec -a renamed bash -c 'echo "I am $0"')
exit 42
"""

MAKE = r"""
cat > Makefile <<'END'
parts := $(addsuffix .out,1 2 3 4 5 6 7 8)
all: whole
whole: $(parts)
	cat $(parts) > $@
%.out:
	@sleep 0.0$*; echo "part $*" > $@
nested:
	+$(MAKE) --no-print-directory -f Makefile whole
broken: 1.out
	@echo about to fail; exit 3
.PHONY: all nested broken
END
make -s -j4 all; echo "status $?"; cat whole
rm -f *.out whole
make -s -j3 nested; echo "status $?"; cat whole
make -s -k -j4 broken; echo "status $?"
make -n -B | sort
make nothing-of-the-kind; echo "status $?"
"""

GCC = r"""
cat > program.c <<'END'
#include <pthread.h>
#include <stdio.h>
static void *work(void *argument) { return (char *)argument + 1; }
int main(void) {
  long sum = 0;
  for (long i = 0; i < 100; i++) {
    pthread_t thread; void *result;
    if (pthread_create(&thread, NULL, work, (void *)i) != 0) return 1;
    pthread_join(thread, &result);
    sum += (long)result;
  }
  printf("sum %ld\n", sum);
  return sum == 5050 ? 7 : 1;
}
END
gcc -O2 -Wall -pthread -o program program.c; echo "compiled: $?"
./program; echo "program: $?"
gcc -O2 -pipe -flto=2 -pthread -o program program.c && ./program; echo "program: $?"
gcc -S -O1 -o - program.c | sha256sum
echo 'int main(void) { return undeclared; }' > wrong.c
gcc -c wrong.c; echo "wrong: $?"
gcc -o none nothing.c; echo "missing: $?"
"""

GIT = r"""
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=c
export GIT_COMMITTER_EMAIL=c@example.org GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000'
git config --global init.defaultBranch main
git config --global pack.threads 4
git config --global index.threads 4
git config --global gc.auto 0
git init -q origin && cd origin
for n in $(seq 1 300); do mkdir -p "d$((n % 7))"; seq "$n" $((n + 200)) > "d$((n % 7))/file$n"; done
git add . && git commit -q -m first; echo "commit: $?"
sed -i s/1/one/ d1/*; git commit -q -a -m second; git tag -a -m tag v1
git checkout -q -b side HEAD~1; echo side > side; git add side; git commit -q -m side
git checkout -q main; git merge -q -m merged side; echo "merge: $?"
git log --format='%H %s' --graph; git diff --stat HEAD~1 | tail -1
git grep -c one | sort | head -3
cd .. && git clone -q "file://$PWD/origin" clone; echo "clone: $?"
cd clone && git rev-parse HEAD && git fsck --full 2>&1 | sort; echo "fsck: $?"
git repack -q -a -d -f && git count-objects -v | grep -E 'in-pack|packs|garbage'
git verify-pack -v .git/objects/pack/*.idx | awk '$2 == "blob" || $2 == "commit" { print $1 }' | sort | sha256sum
echo more > more; git add more; git commit -q -m more; git push -q origin HEAD:refs/heads/pushed; echo "push: $?"
git -C ../origin rev-parse pushed; git pull -q --ff-only; echo "pull: $?"
git checkout -q nowhere; echo "missing branch: $?"
git archive HEAD | sha256sum; git status --porcelain
"""

TOOLS = r"""
seq 1 200000 | sort --parallel=4 -S 2M -R --random-source=<(yes) | sort --parallel=4 -S 2M -n | sha256sum
seq 1 300000 | xz -T4 --block-size=100000 | xz -T4 -d | sha256sum
mkdir tree; for n in $(seq 50); do echo "$n" > "tree/$n"; done
tar --sort=name --mtime=@0 --owner=0 --group=0 -cf - tree | tar -tf - | sha256sum
grep -rl 4 tree | sort | tr '\n' ' '; sed -n '$p' tree/17; awk 'BEGIN { system("exit 5") > 0; print "awk" }'
perl -e 'my $p = fork; if (!$p) { exit 3 } waitpid($p, 0); print "perl: ", $? >> 8, "\n"; print `echo backticks`'
/usr/bin/python3 -c '
import multiprocessing, os, subprocess, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool: print(sum(pool.map(lambda n: n * n, range(1000))))
with ProcessPoolExecutor(2) as pool: print(list(pool.map(abs, [-1, -2, -3])))
print(subprocess.run(["sh", "-c", "cat; exit 4"], input=b"through a child", capture_output=True))
'
getent hosts localhost; echo "getent: $?"; id -u > /dev/null; date -u -d @0
"""

# What a program without threads looks like, seen from inside: kernel threads, descriptors and where they lead, signals
# blocked, ignored and caught. Pipes and processes have numbers of their own in each run.
SINGLE = r"""
show='
import os, re
print(sorted((int(fd), re.sub(r"\[\d+\]", "[N]", os.readlink("/proc/self/fd/" + fd)))
             for fd in os.listdir("/proc/self/fd") if os.path.lexists("/proc/self/fd/" + fd)))
for line in open("/proc/self/status"):
    if line.startswith(("Threads", "SigBlk", "SigIgn", "SigCgt", "ShdPnd", "SigPnd", "NoNewPrivs", "Seccomp")):
        print(line.rstrip())
'
echo python; /usr/bin/python3 -S -c "$show"
echo bash; mapfile -t lines < /proc/self/status; printf '%s\n' "${lines[@]}" | grep -E '^(Threads|Sig(Blk|Ign|Cgt))'
for fd in /proc/$$/fd/*; do echo "${fd##*/} $(readlink "$fd" | sed 's/\[[0-9]*\]/[N]/')"; done
echo ls; ls -l /proc/self/fd | sed -E 's/.* ([0-9]+ -> )/\1/; s/\[[0-9]+\]/[N]/; s,/proc/[0-9]+,/proc/N,; /^total/d'
echo grep; grep -E '^(Threads|Sig(Blk|Ign|Cgt))' /proc/self/status
echo next descriptor; /usr/bin/python3 -S -c 'import os; print(os.open("/dev/null", os.O_RDONLY), os.pipe(), os.dup(0))'
echo closed; /usr/bin/python3 -S -c 'import os; print(os.dup(2))' 0<&- 1>out; cat out
echo children; sh -c 'cat /proc/self/stat | cut -d" " -f20'
"""

CASES = {
    "bash": Case(["bash"], bash_case(BASH), b"leaving with 42"),
    "make": Case(["make", "bash"], bash_case(MAKE), b"about to fail"),
    "gcc": Case(["gcc", "bash"], bash_case(GCC), b"program: 7"),
    "git": Case(["git", "bash"], bash_case(GIT), b"pull: 0"),
    "tools": Case(["bash", "xz", "perl", "python3"], bash_case(TOOLS), b"through a child"),
    "single": Case(["bash", "python3"], bash_case(SINGLE), b"Threads:\t1"),
}

# gdb, itself preloaded, running programs that are.
set -u
gdb -q -batch -ex run -ex "thread apply all bt 1" --args bash -c 'echo in gdb; exit 3' 2>&1 | grep -oE "in gdb|exited with.*[0-9]"
cat > t.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void* f(void* a) { usleep(10000); return a; }
int main(void) { pthread_t t[20]; long s = 0; for (long i = 0; i < 20; i++) pthread_create(&t[i], 0, f, (void*)i); for (int i = 0; i < 20; i++) { void* r; pthread_join(t[i], &r); s += (long)r; } printf("%ld\n", s); return 5; }
C
gcc -g -pthread t.c -o t && ./t; echo $?
gdb -q -batch -ex "break f" -ex run -ex "p (long)a >= 0" -ex delete -ex c ./t 2>&1 | grep -oE '^\$1.*|^190|exited with.*[0-9]'

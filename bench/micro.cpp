// Costs of single operations between threads. Usage: micro MODE [COUNT]
// Prints "CPU WALL", nanoseconds per operation: CPU time of the whole process (CLOCK_PROCESS_CPUTIME_ID:
// every thread's, hidden ones too) and elapsed time.
//
// All of it runs in a created thread, not in main: under the shim main is a kernel thread, and a server's
// time does not go into main.
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bare_swap.h"

namespace {

long g_count;  // operations asked for

[[noreturn]] void fail(const char* what) {
  fprintf(stderr, "micro: %s\n", what);
  exit(1);
}

double read_clock(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

pthread_t start(void* (*routine)(void*), void* argument = nullptr) {
  pthread_t thread;
  int error = pthread_create(&thread, nullptr, routine, argument);
  if (error != 0) fail(strerror(error));
  return thread;
}

// Runs `routine` in `count` threads that begin together; returns when all have ended.
constexpr int kMostThreads = 8;
pthread_barrier_t g_start_line;
void run_together(int count, void* (*routine)(void*)) {
  pthread_t threads[kMostThreads];
  pthread_barrier_init(&g_start_line, nullptr, static_cast<unsigned>(count));
  for (long i = 0; i < count; ++i) threads[i] = start(routine, reinterpret_cast<void*>(i));
  for (int i = 0; i < count; ++i) pthread_join(threads[i], nullptr);
}

// --- what was handed over: counted, since a yield need not switch and an unlock need not hand over ---

std::atomic<long> g_holder{-1};
std::atomic<long> g_changes{0};

void note_holder(long me) {
  if (g_holder.load(std::memory_order_relaxed) == me) return;
  g_holder.store(me, std::memory_order_relaxed);
  g_changes.store(g_changes.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

long changes_of(long attempts) {
  if (g_changes < attempts / 100) fail("the threads hardly took turns: pin them to one core");
  return g_changes;
}

// --- modes: each returns how many operations it did ---

long bare() {
  run_bare_swaps(g_count);
  return g_count;
}

// Two threads yield to each other; an operation is a switch that happened.
void* yield_in_turn(void* me) {
  pthread_barrier_wait(&g_start_line);
  for (long i = 0; i < g_count / 2; ++i) {
    note_holder(reinterpret_cast<long>(me));
    sched_yield();
  }
  return nullptr;
}
long yield_switch() {
  run_together(2, yield_in_turn);
  return changes_of(g_count);
}

// Two threads, a semaphore in each direction; an operation is one way.
sem_t g_go[2];
void* ping_pong(void* argument) {
  long me = reinterpret_cast<long>(argument);
  pthread_barrier_wait(&g_start_line);
  for (long i = 0; i < g_count / 2; ++i) {
    sem_wait(&g_go[me]);
    sem_post(&g_go[!me]);
  }
  return nullptr;
}
long semaphore() {
  sem_init(&g_go[0], 0, 1);
  sem_init(&g_go[1], 0, 0);
  run_together(2, ping_pong);
  return g_count;
}

// Two threads, one mutex, one condition; an operation is a turn handed over.
pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t g_turn_changed = PTHREAD_COND_INITIALIZER;
long g_turn;
void* take_turns(void* argument) {
  long me = reinterpret_cast<long>(argument);
  pthread_barrier_wait(&g_start_line);
  for (long i = 0; i < g_count / 2; ++i) {
    pthread_mutex_lock(&g_mutex);
    while (g_turn != me) pthread_cond_wait(&g_turn_changed, &g_mutex);
    g_turn = !me;
    pthread_cond_signal(&g_turn_changed);
    pthread_mutex_unlock(&g_mutex);
  }
  return nullptr;
}
long condition() {
  run_together(2, take_turns);
  return g_count;
}

long mutex() {
  for (long i = 0; i < g_count; ++i) {
    pthread_mutex_lock(&g_mutex);
    pthread_mutex_unlock(&g_mutex);
  }
  return g_count;
}

// Whoever has the mutex yields, so that the others come to wait for it, and yields again when it has let go,
// so that one of them gets it; an operation is a change of the holder.
constexpr int kContenders = 4;
void* contend(void* me) {
  pthread_barrier_wait(&g_start_line);
  for (long i = 0; i < g_count / kContenders; ++i) {
    pthread_mutex_lock(&g_mutex);
    note_holder(reinterpret_cast<long>(me));
    sched_yield();
    pthread_mutex_unlock(&g_mutex);
    sched_yield();
  }
  return nullptr;
}
long contended() {
  run_together(kContenders, contend);
  return changes_of(g_count);
}

void* nothing(void* argument) {
  return argument;
}
long create() {
  for (long i = 0; i < g_count; ++i) pthread_join(start(nothing), nullptr);
  return g_count;
}

constexpr long kWave = 100;
long create_wave() {
  for (long done = 0; done < g_count; done += kWave) {
    pthread_t threads[kWave];
    for (pthread_t& thread : threads) thread = start(nothing);
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
  }
  return (g_count + kWave - 1) / kWave * kWave;
}

struct Mode {
  const char* name;
  long (*run)();
  long count;  // a second or so of the native run
} const kModes[] = {
    {"bare", bare, 20000000},         {"switch", yield_switch, 1000000},   {"semaphore", semaphore, 400000},
    {"condition", condition, 400000}, {"mutex", mutex, 20000000},          {"contended", contended, 200000},
    {"create", create, 30000},        {"create-wave", create_wave, 30000},
};

void* measure(void* argument) {
  const Mode& mode = *static_cast<const Mode*>(argument);
  double cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID), wall = read_clock(CLOCK_MONOTONIC);
  auto operations = static_cast<double>(mode.run());
  cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  wall = read_clock(CLOCK_MONOTONIC) - wall;
  printf("%.2f %.2f\n", cpu / operations, wall / operations);
  return nullptr;
}

int usage() {
  fprintf(stderr, "usage: micro MODE [COUNT], MODE one of:");
  for (const Mode& mode : kModes) fprintf(stderr, " %s", mode.name);
  fprintf(stderr, "\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  for (const Mode& mode : kModes) {
    if (argc < 2 || argc > 3 || strcmp(argv[1], mode.name) != 0) continue;
    g_count = argc == 3 ? atol(argv[2]) : mode.count;
    if (g_count < 2) return usage();
    pthread_join(start(measure, const_cast<Mode*>(&mode)), nullptr);
    return 0;
  }
  return usage();
}

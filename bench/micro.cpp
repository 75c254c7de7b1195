// Costs of single operations, in nanoseconds of CPU time of the process, measured inside a created thread
// (main is a kernel thread under the shim too, and not what a server's time goes into). Usage: micro
// switch|bare|semaphore|create|create-wave|mutex|contended|condition
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

double cpu_now() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

pthread_t start(void* (*routine)(void*), void* argument = nullptr) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, routine, argument) != 0) abort();
  return thread;
}

void report(double from, double operations) {
  printf("%.1f\n", (cpu_now() - from) / operations);
}

// --- the bound: six registers, MXCSR, x87 control word and FS base, between two contexts ---

extern "C" void bare_swap(void** save, void* load, uintptr_t fs_base);
__asm__(
    ".text\n.type bare_swap, @function\nbare_swap:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "sub $8, %rsp\nstmxcsr (%rsp)\nfnstcw 4(%rsp)\n"
    "mov %rsp, (%rdi)\nmov %rsi, %rsp\nwrfsbase %rdx\n"
    "ldmxcsr (%rsp)\nfldcw 4(%rsp)\nadd $8, %rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\npop %rcx\njmp *%rcx\n");

void *g_here, *g_there;
uintptr_t g_fs;

void other_side() {
  for (;;) bare_swap(&g_there, g_here, g_fs);
}

void run_bare() {
  constexpr int kCount = 20000000;
  __asm__("mov %%fs:0x10, %0" : "=r"(g_fs));
  alignas(16) static char stack[65536];
  auto* top = reinterpret_cast<uint64_t*>(stack + sizeof(stack)) - 9;
  memset(top, 0, 9 * 8);
  top[0] = 0x037f00001f80;  // control words
  top[7] = reinterpret_cast<uint64_t>(&other_side);
  g_there = top;
  double from = cpu_now();
  for (int i = 0; i < kCount; ++i) bare_swap(&g_here, g_there, g_fs);
  report(from, 2.0 * kCount);
}

// --- switch: two threads that yield to each other ---

constexpr int kYields = 1000000;
void* yielder(void*) {
  for (int i = 0; i < kYields; ++i) sched_yield();
  return nullptr;
}
void run_switch() {
  double from = cpu_now();
  pthread_t a = start(yielder), b = start(yielder);
  pthread_join(a, nullptr);
  pthread_join(b, nullptr);
  report(from, 2.0 * kYields);
}

// --- semaphores: there and back ---

constexpr int kRounds = 200000;
sem_t g_ping, g_pong;
void* ponger(void*) {
  for (int i = 0; i < kRounds; ++i) {
    sem_wait(&g_ping);
    sem_post(&g_pong);
  }
  return nullptr;
}
void run_semaphore() {
  sem_init(&g_ping, 0, 0);
  sem_init(&g_pong, 0, 0);
  double from = cpu_now();
  pthread_t other = start(ponger);
  for (int i = 0; i < kRounds; ++i) {
    sem_post(&g_ping);
    sem_wait(&g_pong);
  }
  pthread_join(other, nullptr);
  report(from, 2.0 * kRounds);
}

// --- condition: hand-over between two threads ---

pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t g_turn_changed = PTHREAD_COND_INITIALIZER;
int g_turn;
void take_turns(int me) {
  for (int i = 0; i < kRounds; ++i) {
    pthread_mutex_lock(&g_mutex);
    while (g_turn != me) pthread_cond_wait(&g_turn_changed, &g_mutex);
    g_turn = !me;
    pthread_cond_signal(&g_turn_changed);
    pthread_mutex_unlock(&g_mutex);
  }
}
void* second(void*) {
  take_turns(1);
  return nullptr;
}
void run_condition() {
  double from = cpu_now();
  pthread_t other = start(second);
  take_turns(0);
  pthread_join(other, nullptr);
  report(from, 2.0 * kRounds);
}

// --- mutex ---

void run_mutex() {
  constexpr int kCount = 20000000;
  double from = cpu_now();
  for (int i = 0; i < kCount; ++i) {
    pthread_mutex_lock(&g_mutex);
    pthread_mutex_unlock(&g_mutex);
  }
  report(from, kCount);
}

constexpr int kContenders = 8, kTurns = 100000;
long g_counter;
void* contender(void*) {
  for (int i = 0; i < kTurns; ++i) {
    pthread_mutex_lock(&g_mutex);
    ++g_counter;
    if (i % 64 == 0) sched_yield();  // so that somebody has to wait
    pthread_mutex_unlock(&g_mutex);
  }
  return nullptr;
}
void run_contended() {
  pthread_t threads[kContenders];
  double from = cpu_now();
  for (pthread_t& thread : threads) thread = start(contender);
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  if (g_counter != static_cast<long>(kContenders) * kTurns) abort();
  report(from, static_cast<double>(kContenders) * kTurns);
}

// --- create and join ---

void* nothing(void* argument) {
  return argument;
}
void run_create() {
  constexpr int kCount = 50000;
  double from = cpu_now();
  for (int i = 0; i < kCount; ++i) pthread_join(start(nothing), nullptr);
  report(from, kCount);
}
void run_create_wave() {
  constexpr int kWaves = 500, kWave = 100;
  double from = cpu_now();
  for (int wave = 0; wave < kWaves; ++wave) {
    pthread_t threads[kWave];
    for (pthread_t& thread : threads) thread = start(nothing);
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
  }
  report(from, kWaves * kWave);
}

struct Mode {
  const char* name;
  void (*run)();
} const kModes[] = {
    {"bare", run_bare},           {"switch", run_switch},
    {"semaphore", run_semaphore}, {"condition", run_condition},
    {"mutex", run_mutex},         {"contended", run_contended},
    {"create", run_create},       {"create-wave", run_create_wave},
};

void* run_mode(void* mode) {
  static_cast<const Mode*>(mode)->run();
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  for (const Mode& mode : kModes) {
    if (argc != 2 || strcmp(argv[1], mode.name) != 0) continue;
    pthread_join(start(run_mode, const_cast<Mode*>(&mode)), nullptr);
    return 0;
  }
  fprintf(stderr, "usage: micro MODE\n");
  return 2;
}

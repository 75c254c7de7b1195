// A handler that is left otherwise than by returning, more often than an alternate stack has room for it: by
// an exception out of a fault's handler, by pthread_exit(3), by setcontext(3), and by a jump from an inner
// handler into the outer one, which still runs. After each the thread goes on as natively: it waits, it takes
// signals.
#include "check.h"

#pragma GCC optimize("non-call-exceptions")

#include <sys/mman.h>
#include <ucontext.h>
#include <csetjmp>
#include <csignal>
#include <initializer_list>

namespace {

constexpr int kRounds = 40;
constexpr size_t kAlternateSize = size_t{64} << 10;

volatile char* hole;
enum class Way { jump, context, exception };
thread_local Way way;
thread_local sigjmp_buf probe;
thread_local ucontext_t left;
thread_local volatile int counted;

void count(int) {
  counted = counted + 1;
}

void on_fault(int signal) {
  if (way == Way::jump) siglongjmp(probe, 1);
  if (way == Way::context) setcontext(&left);
  sigset_t own;
  sigemptyset(&own);
  sigaddset(&own, signal);
  CHECK(pthread_sigmask(SIG_UNBLOCK, &own, nullptr) == 0);
  throw signal;
}

bool readable(volatile char* address) {
  if (sigsetjmp(probe, 1) != 0) return false;
  (void)*address;
  return true;
}

void outer(int) {
  for (int i = 0; i < 20; ++i) CHECK(!readable(hole) && readable(reinterpret_cast<volatile char*>(&i)));
  CHECK(pthread_kill(pthread_self(), SIGWINCH) == 0);
  counted = counted + 1;
}

void leave(int) {
  pthread_exit(nullptr);
}

void still_a_thread(int before, int expected) {
  nap(1);
  CHECK(counted == before + expected);
  CHECK(pthread_kill(pthread_self(), SIGUSR2) == 0);
  CHECK(counted == before + expected + 1);
  sigset_t blocked;
  CHECK(pthread_sigmask(SIG_BLOCK, nullptr, &blocked) == 0);
  for (int signal : {SIGSEGV, SIGUSR1, SIGUSR2, SIGWINCH}) CHECK(sigismember(&blocked, signal) == 0);
}

void by_exception() {
  int before = counted, caught = 0;
  way = Way::exception;
  try {
    (void)*hole;
  } catch (int signal) {
    caught = signal;
  }
  CHECK(caught == SIGSEGV);
  still_a_thread(before, 0);
}

void by_context() {
  int before = counted;
  volatile bool again = false;
  way = Way::context;
  CHECK(getcontext(&left) == 0);
  if (!again) {
    again = true;
    (void)*hole;
    CHECK(!"reached");
  }
  still_a_thread(before, 0);
}

void in_outer() {
  int before = counted;
  way = Way::jump;
  CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
  still_a_thread(before, 2);
}

void with_stack(bool own, void (*function)()) {
  stack_t stack{};
  stack.ss_size = kAlternateSize;
  if (own) {
    stack.ss_sp = malloc(kAlternateSize);
    CHECK(stack.ss_sp != nullptr && sigaltstack(&stack, nullptr) == 0);
  }
  for (int i = 0; i < kRounds; ++i) function();
  if (own) {
    stack_t off{};
    off.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&off, nullptr) == 0);
    free(stack.ss_sp);
  }
}

void* all(void* own) {
  for (auto function : {by_exception, by_context, in_outer}) with_stack(own != nullptr, function);
  return nullptr;
}

void* exits(void*) {
  pthread_kill(pthread_self(), SIGTERM);
  CHECK(!"reached");
  return nullptr;
}

void on(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_ONSTACK;
  CHECK(sigaction(signal, &action, nullptr) == 0);
}

}  // namespace

int main() {
  hole = static_cast<volatile char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(hole != MAP_FAILED);
  on(SIGSEGV, on_fault);
  on(SIGUSR1, outer);
  on(SIGUSR2, count);
  on(SIGWINCH, count);
  on(SIGTERM, leave);
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) threads[i] = start_thread(all, number_pointer(i % 2));
  for (pthread_t thread : threads) join_thread(thread);
  all(nullptr);
  for (int i = 0; i < kRounds; ++i) {
    for (pthread_t& thread : threads) thread = start_thread(exits, nullptr);
    for (pthread_t thread : threads) join_thread(thread);
  }
  all(nullptr);
  all(number_pointer(1));
  SAY("left in %d rounds", kRounds);
  return 0;
}

// Handlers in children of children, with and without threads of their own in between, and in the child of a
// vfork: those that were set before, and those that the child sets.
#include "check.h"

#include <signal.h>
#include <sys/wait.h>

static volatile sig_atomic_t first_ran, second_ran;

static void first(int number) {
  (void)number;
  ++first_ran;
}
static void second(int number, siginfo_t* info, void* context) {
  (void)number, (void)context;
  CHECK(info->si_pid == getpid());
  ++second_ran;
}

static void set(int number, void (*handler)(int), void (*expected)(int)) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;
  CHECK(sigaction(number, &action, &before) == 0 && before.sa_handler == expected);
}

static void set_with_info(int number) {
  struct sigaction action = {.sa_sigaction = second, .sa_flags = SA_SIGINFO}, now;
  CHECK(sigaction(number, &action, NULL) == 0);
  CHECK(sigaction(number, NULL, &now) == 0 && now.sa_sigaction == second && (now.sa_flags & SA_SIGINFO) != 0);
}

static void* nothing(void* argument) {
  return argument;
}

static void expect_exit(pid_t child) {
  int status;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void live(int generations, int with_threads) {
  first_ran = second_ran = 0;
  CHECK(kill(getpid(), SIGUSR1) == 0 && first_ran == 1 && "set by an ancestor");
  set_with_info(SIGUSR2);
  CHECK(kill(getpid(), SIGUSR2) == 0 && second_ran == 1);
  CHECK(raise(SIGUSR2) == 0 && second_ran == 2);
  set(SIGUSR1, SIG_DFL, first);
  set(SIGUSR1, first, SIG_DFL);
  CHECK(raise(SIGUSR1) == 0 && first_ran == 2);
  set(SIGWINCH, first, generations == 3 ? SIG_DFL : first);
  CHECK(raise(SIGWINCH) == 0 && first_ran == 3);
  if (with_threads) join_thread(start_thread(nothing, NULL));
  CHECK(raise(SIGUSR1) == 0 && first_ran == 4 && raise(SIGUSR2) == 0 && second_ran == 3);
  if (generations == 0) return;
  pid_t child = fork();
  if (child == 0) {
    live(generations - 1, with_threads);
    _exit(0);
  }
  expect_exit(child);
}

// What the child sets is the child's alone.
static void in_child_of_vfork(void) {
  first_ran = 0;
  pid_t child = vfork();
  if (child == 0) {
    struct sigaction action = {.sa_handler = first};
    if (sigaction(SIGHUP, &action, NULL) != 0 || kill(getpid(), SIGHUP) != 0 || first_ran != 1) _exit(1);
    _exit(0);
  }
  expect_exit(child);
  struct sigaction now;
  CHECK(sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
}

static void* all(void* argument) {
  set(SIGUSR1, first, SIG_DFL);
  for (int with_threads = 0; with_threads < 2; ++with_threads) {
    pid_t child = fork();
    if (child == 0) {
      live(3, with_threads);
      _exit(0);
    }
    expect_exit(child);
    SAY("children %s threads", with_threads ? "with" : "without");
  }
  in_child_of_vfork();
  SAY("the child of a vfork");
  set(SIGUSR1, SIG_DFL, first);
  return argument;
}

int main(void) {
  all(NULL);
  join_thread(start_thread(all, NULL));
  all(NULL);
  return 0;
}

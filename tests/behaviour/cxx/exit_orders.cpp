// How a process ends, from a thread while others wait, compute and hold locks: which handlers run, in which
// order (exit(3), atexit(3), at_quick_exit(3), _exit(2), abort(3); [basic.start.term] for the destructors of
// static and thread_local objects).
#include "check.h"

#include <sys/wait.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace {

void say(const char* words) {
  CHECK(write(STDOUT_FILENO, words, strlen(words)) == static_cast<ssize_t>(strlen(words)));
}

struct Named {
  const char* name;
  ~Named() {
    say("  destroyed: ");
    say(name);
    say("\n");
  }
};

template <int Number>
void handler() {
  char line[] = "  handler 0\n";
  line[10] = static_cast<char>('0' + Number);
  say(line);
}

Named of_file{"static"};
thread_local Named of_thread{"thread_local"};

// Not destroyed at exit: that would wait for those who wait (pthread_cond_destroy(3)).
std::mutex& mutex = *new std::mutex;
std::condition_variable& changed = *new std::condition_variable;
std::atomic<bool> computing{false};

void wait_for_ever() {
  of_thread.name = "of a thread that waits";
  std::unique_lock<std::mutex> lock(mutex);
  for (;;) changed.wait(lock);
}

void compute_for_ever() {
  of_thread.name = "of a thread that computes";
  computing = true;
  for (volatile long turns = 0;; turns = turns + 1) {
  }
}

using End = void (*)();

void register_and_end(End end) {
  of_thread.name = "of the thread that ends the process";
  static Named of_function{"static of a function"};
  CHECK(atexit(&handler<3>) == 0);
  CHECK(at_quick_exit(&handler<6>) == 0);
  end();
}

// In a child, whose status and words are compared.
void run(const char* what, End end) {
  say(what);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(atexit(&handler<1>) == 0 && atexit(&handler<2>) == 0);
    CHECK(at_quick_exit(&handler<4>) == 0 && at_quick_exit(&handler<5>) == 0);
    for (int i = 0; i < 3; ++i) std::thread(wait_for_ever).detach();
    std::thread(compute_for_ever).detach();
    while (!computing) nap(1);
    std::thread last(register_and_end, end);
    last.join();
    say("  joined\n");
    exit(9);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  char line[60];
  snprintf(line, sizeof line, WIFEXITED(status) ? "  status %d\n" : "  signal %d\n",
           WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
  say(line);
}

}  // namespace

int main() {
  of_thread.name = "of main";
  run("exit\n", [] { exit(3); });
  run("quick_exit\n", [] { quick_exit(4); });
  run("_exit\n", [] { _exit(5); });
  run("abort\n", [] { abort(); });
  run("return\n", [] {});
  run("exit in a handler of exit\n", [] {
    atexit([] { _exit(6); });
    exit(7);
  });
  run("pthread_exit, and main exits\n", [] { pthread_exit(nullptr); });
  return 0;
}

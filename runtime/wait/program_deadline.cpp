#include "runtime/wait/program_deadline.h"

#include "runtime/thread/pool.h"
#include "runtime/wait/parker.h"

namespace coshim {

namespace {

void unpark_follower(Thread* thread) {
  if (thread->follows_clock.load(std::memory_order_seq_cst)) unpark(thread);
}

}  // namespace

void clock_was_set() {
  for_each_coroutine([](Coroutine* coroutine, void*) { unpark_follower(coroutine); }, nullptr);
  for_each_kernel_thread(&unpark_follower);
}

}  // namespace coshim

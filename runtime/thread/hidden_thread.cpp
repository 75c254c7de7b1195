#include "runtime/thread/hidden_thread.h"

#include <pthread.h>

#include "runtime/base/native.h"
#include "runtime/base/system_call.h"
#include "runtime/thread/identity.h"

namespace coshim {

int start_hidden_thread(void* (*routine)(void*), void* argument, size_t stack_size, void* stack) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  if (stack != nullptr) {
    pthread_attr_setstack(&attributes, stack, stack_size);
  } else {
    pthread_attr_setstacksize(&attributes, stack_size);
  }
  use_ordinary_policy(&attributes);
  sys::KernelSignalSet all = sys::kAllSignals, old = 0;
  sys::set_signal_mask(SIG_SETMASK, &all, &old);
  pthread_t thread;
  int error = g_native.pthread_create(&thread, &attributes, routine, argument);
  sys::set_signal_mask(SIG_SETMASK, &old, nullptr);
  pthread_attr_destroy(&attributes);
  return error;
}

}  // namespace coshim

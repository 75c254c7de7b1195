// <threads.h>: glibc's mtx_t and cnd_t are its pthread objects, so these are the pthread hooks with other
// results. (call_once is in once.cpp; threads and keys are in thread.cpp.)
#include "preload/hook.h"
#include "preload/sync.h"

namespace coshim {

namespace {

static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && sizeof(cnd_t) == sizeof(pthread_cond_t),
              "the same objects");

pthread_mutex_t* as_mutex(mtx_t* mutex) {
  return reinterpret_cast<pthread_mutex_t*>(mutex);
}
pthread_cond_t* as_condition(cnd_t* condition) {
  return reinterpret_cast<pthread_cond_t*>(condition);
}

int c11_result(int error) {
  switch (error) {
    case 0:
      return thrd_success;
    case ENOMEM:
      return thrd_nomem;
    case ETIMEDOUT:
      return thrd_timedout;
    case EBUSY:
      return thrd_busy;
    default:
      return thrd_error;
  }
}

}  // namespace

HOOK(int, mtx_lock, (mtx_t * mutex)) {
  return c11_result(hook_pthread_mutex_lock(as_mutex(mutex)));
}

HOOK(int, mtx_trylock, (mtx_t * mutex)) {
  return c11_result(hook_pthread_mutex_trylock(as_mutex(mutex)));
}

HOOK(int, mtx_timedlock, (mtx_t * mutex, const timespec* when)) {
  return c11_result(hook_pthread_mutex_timedlock(as_mutex(mutex), when));
}

HOOK(int, mtx_unlock, (mtx_t * mutex)) {
  return c11_result(hook_pthread_mutex_unlock(as_mutex(mutex)));
}

HOOK(int, cnd_wait, (cnd_t * condition, mtx_t* mutex)) {
  return c11_result(hook_pthread_cond_wait(as_condition(condition), as_mutex(mutex)));
}

HOOK(int, cnd_timedwait, (cnd_t * condition, mtx_t* mutex, const timespec* when)) {
  return c11_result(hook_pthread_cond_timedwait(as_condition(condition), as_mutex(mutex), when));
}

HOOK(int, cnd_signal, (cnd_t * condition)) {
  return c11_result(hook_pthread_cond_signal(as_condition(condition)));
}

HOOK(int, cnd_broadcast, (cnd_t * condition)) {
  return c11_result(hook_pthread_cond_broadcast(as_condition(condition)));
}

}  // namespace coshim

#include "runtime/thread/keys.h"

#include <limits.h>

#include <atomic>

namespace coshim {

namespace {
std::atomic<void (*)(void*)> g_destructors[PTHREAD_KEYS_MAX];
std::atomic<unsigned> g_key_bound{0};  // one above the highest key that has had a destructor
}  // namespace

void key_created(pthread_key_t key, void (*destructor)(void*)) {
  if (key >= PTHREAD_KEYS_MAX) return;
  g_destructors[key].store(destructor, std::memory_order_release);
  if (destructor == nullptr) return;
  unsigned bound = g_key_bound.load(std::memory_order_relaxed);
  while (bound <= key && !g_key_bound.compare_exchange_weak(bound, key + 1)) {
  }
}

void key_deleted(pthread_key_t key) {
  if (key < PTHREAD_KEYS_MAX) g_destructors[key].store(nullptr, std::memory_order_release);
}

void run_key_destructors() {
  for (int round = 0; round < PTHREAD_DESTRUCTOR_ITERATIONS; ++round) {
    bool found = false;
    unsigned bound = g_key_bound.load(std::memory_order_acquire);
    for (unsigned key = 0; key < bound; ++key) {
      void (*destructor)(void*) = g_destructors[key].load(std::memory_order_acquire);
      if (destructor == nullptr) continue;
      void* value = pthread_getspecific(key);
      if (value == nullptr) continue;
      found = true;
      pthread_setspecific(key, nullptr);
      destructor(value);
    }
    if (!found) return;
  }
}

}  // namespace coshim

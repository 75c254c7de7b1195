// Destructors of thread-specific data. glibc keeps the values (in the TCB); the destructors are in a table of
// glibc's that nothing exports, so the key hooks tell us.
#pragma once

#include <pthread.h>

namespace coshim {

void key_created(pthread_key_t key, void (*destructor)(void*));
void key_deleted(pthread_key_t key);
// pthread_key_create(3p): up to PTHREAD_DESTRUCTOR_ITERATIONS rounds while values are left. On the ending
// thread itself.
void run_key_destructors();

}  // namespace coshim

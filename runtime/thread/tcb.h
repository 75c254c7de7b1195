// Making a struct pthread (TCB) and static TLS block that glibc takes for a thread's own, without knowing
// glibc's private layout (DESIGN §3). One real thread, the prototype, copies its own pristine block as its
// first act; every new TCB is that copy with the words that point into the prototype's block moved along.
//
//   lowest address                                        fs_base = pthread_t
//   | static TLS of all modules, incl. surplus           | struct pthread            |
//   |<----- static_size - sizeof(struct pthread) ------->|<- _thread_db_sizeof_pthread ->|
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/thread/thread.h"

namespace coshim {

struct TcbLayout {
  size_t pthread_size = 0;     // sizeof(struct pthread), from libc's _thread_db_sizeof_pthread
  size_t below = 0;            // bytes of static TLS below the TCB
  size_t alignment = 64;       // of the TCB address
  ptrdiff_t local_offset = 0;  // &t_local - fs_base
};
extern TcbLayout g_tcb_layout;

// The size to ask for so that a kernel thread has `use` bytes of stack: glibc takes the static TLS, which may
// be large, out of it.
inline size_t kernel_thread_stack(size_t use) {
  constexpr size_t kPage = 4096;
  return (use + g_tcb_layout.below + g_tcb_layout.pthread_size + kPage - 1) / kPage * kPage;
}

// Runs the prototype and checks what it found against what is expected. Once, before the first coroutine. On
// failure gives the reason in one phrase: the program must then run natively (contract rule 6).
bool tcb_initialize(const char** reason);

// Builds a TCB at `tcb` (tcb_layout().alignment-aligned, memory below and above it mapped). `used_before`: a
// TCB was built there before and its dynamic TLS is released first. False when memory ends.
bool tcb_build(void* tcb, bool used_before, pid_t tid, void* stack_low, size_t stack_size);

inline ThreadLocal* tcb_thread_local(uintptr_t fs_base) {
  return reinterpret_cast<ThreadLocal*>(fs_base + g_tcb_layout.local_offset);
}

// The words of libc's TLS that are malloc's per-thread cache (tcache, arena) travel with the kernel thread:
// malloc never yields, so idle coroutines hold no cache at all.
constexpr int kMaximumMallocWords = 4;
extern int g_malloc_word_count;
extern ptrdiff_t g_malloc_word_offsets[kMaximumMallocWords];  // from fs_base
inline void move_malloc_words(uintptr_t from_fs, uintptr_t to_fs) {
  for (int i = 0; i < g_malloc_word_count; ++i) {
    auto* from = reinterpret_cast<uintptr_t*>(from_fs + g_malloc_word_offsets[i]);
    *reinterpret_cast<uintptr_t*>(to_fs + g_malloc_word_offsets[i]) = *from;
    *from = 0;
  }
}

// At a coroutine's end: frees the second-level key blocks that glibc hangs into the TCB.
void tcb_free_key_blocks(void* tcb);
// glibc's cancelhandling word of a TCB, for the dump and the cancellation hooks; -1 where its place is
// unknown.
int tcb_cancel_state(uintptr_t fs_base);
robust_list_head* tcb_robust_list(uintptr_t fs_base);
// The tid that glibc keeps in a TCB.
pid_t tcb_tid(uintptr_t fs_base);

inline uintptr_t current_fs_base() {
  uintptr_t self;
  __asm__("mov %%fs:0x10, %0" : "=r"(self));  // x86-64 psABI: header.self, the thread pointer
  return self;
}

}  // namespace coshim

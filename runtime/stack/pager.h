// Taking pages away from a stretch of stack and putting them back, so that no write of anybody's is lost
// (DESIGN §4, elastic): the kernel's part of it, one userfaultfd(2) that handles faults of user code only, so
// it needs no privilege.
//
//   protect     from now on writers of the stretch wait in their fault (UFFDIO_WRITEPROTECT); readers go on
//   take_away   the pages are freed, every access faults with SIGSEGV (MADV_GUARD_INSTALL); writers that
//               waited try again, and fault
//   bring_back  each page appears with its contents in one step (UFFDIO_COPY, which replaces a guard)
//
// None of it splits a mapping. What is relied on is tried out at the start: UFFDIO_WRITEPROTECT is Linux 5.7,
// MADV_GUARD_INSTALL 6.13; seccomp filters may forbid userfaultfd.
#pragma once

#include <stddef.h>

namespace coshim {

// Opens the descriptor, and tries the three steps. A descriptor, not yet hidden, to be given to pager_use();
// negative: *reason says in a phrase what is missing.
int pager_open(const char** reason);
void pager_use(int fd);
bool pager_active();
// The hidden descriptor moved out of the way; false: it is not ours.
bool pager_moved(int from, int to);

// All stretches lie in memory that was registered, at page boundaries. Each is 0 or -errno.
long pager_register(void* base, size_t size);
long pager_protect(void* low, size_t size);
void pager_unprotect(void* low, size_t size);
struct Stretch {
  void* low;
  size_t size;
};
// Several stretches in one call. False: some have their pages still (a locked mapping); those are readable
// and writable as before.
bool pager_take_away(const Stretch* stretches, size_t count, bool* taken);
// Gives back what lies there, without a guard: the next touch finds zeros.
void pager_drop(const Stretch* stretches, size_t count);
// `contents` is page-aligned.
void pager_bring_back(void* low, const void* contents, size_t size);
// The child of a fork, which is alone and has no userfaultfd: makes the stretch accessible, zeroed.
void pager_open_in_child(void* low, size_t size);
void pager_reset_after_fork();

}  // namespace coshim

// Taking pages away from a stretch of stack and putting them back, so that no write of anybody's is lost and
// nobody reads what was never written (DESIGN §4, elastic): the kernel's part of it.
//
//   freeze      writers fault from now on (mprotect, PROT_READ); readers go on, and so can we
//   take_away   everybody faults (PROT_NONE), the pages are freed and replaced by guards
//   (MADV_GUARD_INSTALL),
//               then the protection is what it was, so no mapping stays split. Without PROT_NONE a reader or
//               writer between the freeing and the guard would find a page of zeros
//   bring_back  each page appears with its contents in one step, in place of its guard (UFFDIO_COPY)
//
// UFFDIO_COPY needs a userfaultfd(2) with the memory registered; one for faults of user code only is open to
// everybody, and its faults are not used. What is relied on is tried out at the start: Linux 6.13 has
// MADV_GUARD_INSTALL; seccomp filters may forbid userfaultfd.
#pragma once

#include <stddef.h>

#include <atomic>

namespace coshim {

// Of stacks that are not frozen: PROT_READ | PROT_WRITE, and PROT_EXEC where a module has asked for it.
extern std::atomic<int> g_stack_protection;

// Opens the descriptor, and tries the three steps. A descriptor, not yet hidden, to be given to pager_use();
// negative: *reason says in a phrase what is missing.
int pager_open(const char** reason);
void pager_use(int fd);
bool pager_active();
// The hidden descriptor moved out of the way; false: it is not ours.
bool pager_moved(int from, int to);

struct Stretch {
  char* low;
  size_t size;
};

// All stretches lie in memory that was registered, at page boundaries. These are 0 or -errno.
long pager_register(void* base, size_t size);
long pager_freeze(const Stretch& run);
void pager_thaw(const Stretch& run);
// Frees the stretches, which lie in `run`, and thaws it; gives how many were freed, the first ones: the
// others have their pages still (a locked mapping). All of `run` is unreachable for a moment.
size_t pager_take_away(const Stretch& run, const Stretch* stretches, size_t count);
// Frees the page tables of `run` too, of which nothing but guards is left: it is unreachable until it is
// opened. `shared` is `run`, and what else its page tables map where that is closed too. False: it could not
// be made so.
bool pager_close(const Stretch& run, const Stretch& shared);
// Guards in memory that is closed; then, false: there are too many mappings.
void pager_guard(const Stretch* stretches, size_t count);
bool pager_try_open(const Stretch& run);
// Gives back what lies there, without a guard: the next touch finds zeros.
void pager_drop(const Stretch* stretches, size_t count);
// `contents` is page-aligned.
void pager_bring_back(void* low, const void* contents, size_t size);
// The child of a fork, which is alone and has no userfaultfd: makes the stretch accessible, zeroed.
void pager_open_in_child(void* low, size_t size);
void pager_reset_after_fork();

}  // namespace coshim

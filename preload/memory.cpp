// Memory of our stacks that the program takes into its own hands.
#include "preload/hook.h"
#include "preload/reach.h"
#include "runtime/sched/blocking.h"
#include "runtime/stack/elastic.h"
#include "runtime/stack/slot.h"

namespace coshim {

// Guard zones in a thread's own stack, as the Java machine makes them: saving and bringing back would undo
// them, so such a stack keeps its pages.
HOOK(int, mprotect, (void* address, size_t length, int protection)) {
  if (in_slots(address)) keep_slots(address, length);
  return real::mprotect(address, length, protection);
}

HOOK(int, pkey_mprotect, (void* address, size_t length, int protection, int key)) {
  if (in_slots(address)) keep_slots(address, length);
  return real::pkey_mprotect(address, length, protection, key);
}

HOOK(int, setrlimit, (int resource, const struct rlimit* limit)) {
  if (resource == RLIMIT_DATA) elastic_writable_memory_ends();
  return real::setrlimit(resource, limit);
}

HOOK(int, prlimit, (int process, int resource, const struct rlimit* limit, struct rlimit* before)) {
  if (resource == RLIMIT_DATA && limit != nullptr) elastic_writable_memory_ends();
  return real::prlimit(process, resource, limit, before);
}

namespace {
void keep(const void* address, size_t length) {
  if (!in_slots(address)) return;
  keep_slots(address, length);
  Reach reach(address);  // it may be saved already
}

// libc's own threads will read or write there, at any time until the operation has ended (aio(7)).
void keep_operation(const aiocb* operation) {
  keep(operation, sizeof(*operation));
  keep(const_cast<const void*>(operation->aio_buf), operation->aio_nbytes);
}
}  // namespace

HOOK(int, aio_read, (aiocb * operation)) {
  keep_operation(operation);
  return real::aio_read(operation);
}

HOOK(int, aio_write, (aiocb * operation)) {
  keep_operation(operation);
  return real::aio_write(operation);
}

HOOK(int, lio_listio, (int mode, aiocb* const* list, int count, sigevent* event)) {
  for (int i = 0; i < count; ++i) {
    if (list[i] != nullptr) keep_operation(list[i]);
  }
  BlockingRegion region("lio_listio", true);
  return real::lio_listio(mode, list, count, event);
}

}  // namespace coshim

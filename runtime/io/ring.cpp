// One ring a process, made at the first use, used by one kernel thread at a time.
//
//   submission   the request -> io_uring_enter -> its answer stands in the completion queue
//                                              -> or the kernel waits for it: it is cancelled, which leaves a
//                                                 connection that has begun as it is
#include "runtime/io/ring.h"
#include "runtime/base/sandbox.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>

#include <atomic>

#include "runtime/base/spin_lock.h"
#include "runtime/base/system_call.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/thread/critical.h"

namespace coshim {

namespace {

constexpr unsigned kEntries = 4;
constexpr uint16_t kAcceptDontWait = 1U << 1;  // IORING_ACCEPT_DONTWAIT, Linux 6.10

SpinLock g_lock;
int g_ring = -1;
std::atomic<bool> g_refused{false};
uint64_t g_sequence = 0;

// The queues' words, in memory shared with the kernel.
struct Queues {
  std::atomic<unsigned>*sq_tail, *cq_head, *cq_tail;
  unsigned *sq_array, sq_mask, cq_mask;
  io_uring_sqe* requests;
  io_uring_cqe* answers;
};
Queues g_queues;

void* map_part(int fd, size_t size, unsigned long offset) {
  long memory =
      sys::call(SYS_mmap, nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  if (memory < 0 && memory > -4096) return nullptr;
  sys::call(SYS_madvise, memory, size, MADV_DONTFORK);
  return reinterpret_cast<void*>(memory);
}

bool map_queues(int fd, const io_uring_params& made) {
  size_t sq_size = made.sq_off.array + made.sq_entries * sizeof(unsigned);
  size_t cq_size = made.cq_off.cqes + made.cq_entries * sizeof(io_uring_cqe);
  if ((made.features & IORING_FEAT_SINGLE_MMAP) == 0) return false;  // before Linux 5.4
  auto* rings = static_cast<char*>(map_part(fd, sq_size > cq_size ? sq_size : cq_size, IORING_OFF_SQ_RING));
  if (rings == nullptr) return false;
  void* requests = map_part(fd, made.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES);
  if (requests == nullptr) {
    sys::call(SYS_munmap, rings, sq_size > cq_size ? sq_size : cq_size);
    return false;
  }
  auto word = [&](unsigned offset) { return reinterpret_cast<unsigned*>(rings + offset); };
  auto shared = [&](unsigned offset) { return reinterpret_cast<std::atomic<unsigned>*>(rings + offset); };
  g_queues = {shared(made.sq_off.tail),
              shared(made.cq_off.head),
              shared(made.cq_off.tail),
              word(made.sq_off.array),
              *word(made.sq_off.ring_mask),
              *word(made.cq_off.ring_mask),
              static_cast<io_uring_sqe*>(requests),
              reinterpret_cast<io_uring_cqe*>(rings + made.cq_off.cqes)};
  return true;
}

// With the lock held.
bool ring_started() {
  if (g_ring >= 0) return true;
  if (g_refused.load(std::memory_order_relaxed) || noted_seccomp()) return false;
  if (under_seccomp()) {
    g_refused.store(true, std::memory_order_relaxed);
    return false;
  }
  io_uring_params made{};
  int fd = static_cast<int>(sys::call(SYS_io_uring_setup, kEntries, &made));
  if (fd >= 0 && !map_queues(fd, made)) {
    sys::close(fd);
    fd = -1;
  }
  int hidden = fd < 0 ? fd : hide_descriptor(fd, true);
  if (hidden < 0) {
    // A full descriptor table is not for ever.
    if (hidden != -EMFILE && hidden != -ENFILE) g_refused.store(true, std::memory_order_relaxed);
    return false;
  }
  g_ring = hidden;
  return true;
}

long submit(const io_uring_sqe& request) {
  unsigned tail = g_queues.sq_tail->load(std::memory_order_relaxed);
  unsigned index = tail & g_queues.sq_mask;
  g_queues.requests[index] = request;
  g_queues.sq_array[index] = index;
  g_queues.sq_tail->store(tail + 1, std::memory_order_release);
  return sys::call(SYS_io_uring_enter, g_ring, 1, 0, IORING_ENTER_GETEVENTS, nullptr, 0);
}

// Empties the completion queue. The answer to `sequence`, or -EINPROGRESS.
long take_answer(uint64_t sequence) {
  long result = -EINPROGRESS;
  unsigned head = g_queues.cq_head->load(std::memory_order_relaxed);
  for (; head != g_queues.cq_tail->load(std::memory_order_acquire); ++head) {
    const io_uring_cqe& answer = g_queues.answers[head & g_queues.cq_mask];
    if (answer.user_data == sequence) result = answer.res;
  }
  g_queues.cq_head->store(head, std::memory_order_release);
  return result;
}

// The request's result if it has one at once; else -EINPROGRESS, and the kernel no longer waits for it.
long call_through_ring(io_uring_sqe request) {
  CriticalSection critical;
  SpinGuard guard(g_lock);
  if (!ring_started()) return -ENOSYS;
  request.user_data = ++g_sequence;
  long submitted = submit(request);
  if (submitted != 1) {
    g_refused.store(true, std::memory_order_relaxed);
    close_hidden_descriptor(g_ring);
    g_ring = -1;
    return -ENOSYS;
  }
  long result = take_answer(request.user_data);
  if (result != -EINPROGRESS) return result;
  io_uring_sqe cancel{};
  cancel.opcode = IORING_OP_ASYNC_CANCEL;
  cancel.fd = -1;
  cancel.addr = request.user_data;
  submit(cancel);
  result = take_answer(request.user_data);
  return result == -ECANCELED ? -EINPROGRESS : result;
}

}  // namespace

long ring_connect(int fd, const sockaddr* address, socklen_t length) {
  if (g_refused.load(std::memory_order_relaxed) || noted_seccomp()) return -ENOSYS;
  io_uring_sqe request{};
  request.opcode = IORING_OP_CONNECT;
  request.fd = fd;
  request.addr = reinterpret_cast<uintptr_t>(address);
  request.off = length;
  return call_through_ring(request);
}

long ring_accept(int fd, sockaddr* address, socklen_t* length, int flags) {
  if (g_refused.load(std::memory_order_relaxed) || noted_seccomp()) return -ENOSYS;
  io_uring_sqe request{};
  request.opcode = IORING_OP_ACCEPT;
  request.ioprio = kAcceptDontWait;
  request.fd = fd;
  request.addr = reinterpret_cast<uintptr_t>(address);
  request.addr2 = reinterpret_cast<uintptr_t>(length);
  request.accept_flags = static_cast<uint32_t>(flags);
  long result = call_through_ring(request);
  // The flag is unknown, or the arguments are wrong: accept(2) itself will say.
  return result == -EINVAL ? -ENOSYS : result;
}

bool ring_moved(int from, int to) {
  CriticalSection critical;
  SpinGuard guard(g_lock);
  if (from != g_ring) return false;
  g_ring = to;
  return true;
}

bool is_own_ring(int fd) {
  CriticalSection critical;
  SpinGuard guard(g_lock);
  return fd == g_ring;
}

void ring_reset_after_fork() {
  g_lock.reset();
  if (g_ring >= 0) sys::close(g_ring);
  g_ring = -1;
  g_queues = {};
}

}  // namespace coshim

#include "runtime/diag/snapshot.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/base/log.h"
#include "runtime/diag/running.h"
#include "runtime/sched/call_counters.h"
#include "runtime/sched/processor.h"
#include "runtime/sched/shared_switch.h"
#include "runtime/stack/depth.h"
#include "runtime/stack/slot.h"
#include "runtime/thread/pool.h"

namespace coshim {

namespace {

constexpr int kAttempts = 3;
constexpr size_t kPage = 4096;

// Where memory has ended: enough to show something.
constexpr size_t kFewThreads = 256, kFewFrames = kFewThreads * 16, kFewHashed = 512;
struct FixedMemory {
  ThreadRecord records[kFewThreads];
  Backtrace backtraces[kFewThreads];
  uint32_t order[kFewThreads], backtrace_hash[kFewHashed], tid_hash[kFewHashed];
  uintptr_t frames[kFewFrames];
};
FixedMemory g_fixed;

// No control characters: a name is not to look like a line of the dump, nor to tell a terminal what to do.
void keep_name(ThreadRecord* record, const char* name) {
  for (size_t i = 0; i + 1 < sizeof(record->name) && name[i] != '\0'; ++i) {
    auto byte = static_cast<unsigned char>(name[i]);
    record->name[i] = byte < ' ' || byte == 127 ? '?' : name[i];
  }
}

uint64_t hash_of(const uintptr_t* frames, size_t count) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, by words
  for (size_t i = 0; i < count; ++i) hash = (hash ^ frames[i]) * 0x100000001b3;
  return hash ^ hash >> 29;
}

// mincore(2) shows what of a private mapping has been touched (and not given back).
size_t touched_bytes(const StackSlot* slot) {
  constexpr size_t kPagesAtOnce = 2048;
  static unsigned char pages[kPagesAtOnce];  // the dump's alone
  size_t touched = 0;
  auto low = reinterpret_cast<uintptr_t>(slot->stack_low);
  auto high = reinterpret_cast<uintptr_t>(slot->base) + slot->total_size;
  for (uintptr_t at = low & ~(kPage - 1); at < high; at += kPagesAtOnce * kPage) {
    size_t count = (high - at + kPage - 1) / kPage;
    if (count > kPagesAtOnce) count = kPagesAtOnce;
    if (sys::call(SYS_mincore, at, count * kPage, pages) != 0) return 0;
    for (size_t i = 0; i < count; ++i) touched += (pages[i] & 1) * kPage;
  }
  return touched;
}

Worker* worker_of(const Coroutine* coroutine) {
  for (Worker* worker = g_scheduler.workers.load(); worker != nullptr; worker = worker->next) {
    if (worker->tid != 0 && worker->current.load(std::memory_order_acquire) == coroutine) return worker;
  }
  return nullptr;
}

// clock_getcpuclockid(3) for a thread of ours, without asking whether it exists.
uint64_t cpu_time_of(pid_t tid) {
  timespec time{};
  auto clock = static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3 | 6);
  if (sys::call(SYS_clock_gettime, clock, &time) != 0) return 0;
  return static_cast<uint64_t>(to_nanoseconds(time));
}

// From where its kernel thread is blocked. False: it is not.
bool walk_blocked(Unwinder* unwinder, const Thread* thread, uintptr_t* frames, size_t* count) {
  const UnwindStart* place = thread->blocked_at.load(std::memory_order_acquire);
  UnwindStart start;
  if (place == nullptr || !read_memory(place, &start, sizeof(start))) return false;
  StackReader stack(nullptr);
  *count = unwinder->walk(start_of(start), &stack, frames, kMaximumFrames);
  return true;
}

}  // namespace

uintptr_t start_routine_of(const Coroutine* coroutine) {
  return coroutine->c11_start != nullptr ? reinterpret_cast<uintptr_t>(coroutine->c11_start)
                                         : reinterpret_cast<uintptr_t>(coroutine->start_routine);
}

pid_t holder_of(WaitKind wait, const void* object, uint32_t* readers) {
  constexpr unsigned kReaderShift = 3;  // as in preload/rwlock.cpp
  *readers = 0;
  if (wait == WaitKind::mutex) {
    pthread_mutex_t mutex;
    return read_memory(object, &mutex, sizeof(mutex)) ? mutex.__data.__owner : 0;
  }
  if (wait == WaitKind::rwlock_read || wait == WaitKind::rwlock_write) {
    pthread_rwlock_t lock;
    if (!read_memory(object, &lock, sizeof(lock))) return 0;
    *readers = lock.__data.__readers >> kReaderShift;
    return lock.__data.__cur_writer;
  }
  // Records stay mapped.
  return wait == WaitKind::join && object != nullptr ? static_cast<const Coroutine*>(object)->tid : 0;
}

Snapshot::Snapshot(Modules* modules, Unwinder* unwinder)
    : modules_(modules), unwinder_(unwinder), now_(tick_counter()) {
  size_t alive = coroutine_counts().alive;
  capacity_ = alive + alive / 4 + 256;
  frame_capacity_ = capacity_ * kMaximumFrames;
  for (hash_size_ = 512; hash_size_ < capacity_ * 2; hash_size_ *= 2) {
  }
  memory_size_ = capacity_ * (sizeof(ThreadRecord) + sizeof(Backtrace) + sizeof(uint32_t)) +
                 hash_size_ * 2 * sizeof(uint32_t) + frame_capacity_ * sizeof(uintptr_t) + 64;
  long memory = sys::call(SYS_mmap, nullptr, memory_size_, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory < 0 && memory > -4096) {
    memset(static_cast<void*>(&g_fixed), 0, sizeof(g_fixed));
    capacity_ = kFewThreads;
    frame_capacity_ = kFewFrames;
    hash_size_ = kFewHashed;
    records_ = g_fixed.records;
    backtraces_ = g_fixed.backtraces;
    order_ = g_fixed.order;
    backtrace_hash_ = g_fixed.backtrace_hash;
    tid_hash_ = g_fixed.tid_hash;
    frames_ = g_fixed.frames;
  } else {
    memory_ = reinterpret_cast<void*>(memory);
    frames_ = static_cast<uintptr_t*>(memory_);
    records_ = reinterpret_cast<ThreadRecord*>(frames_ + frame_capacity_);
    backtraces_ = reinterpret_cast<Backtrace*>(records_ + capacity_);
    order_ = reinterpret_cast<uint32_t*>(backtraces_ + capacity_);
    backtrace_hash_ = order_ + capacity_;
    tid_hash_ = backtrace_hash_ + hash_size_;
  }
  take_kernel_threads();
  for_each_coroutine(&Snapshot::take_one, this);
  find_holders();
  find_deadlocks();
  sort();
}

Snapshot::~Snapshot() {
  unmap(memory_, memory_size_);
}

uint32_t Snapshot::intern(const uintptr_t* frames, size_t count) {
  if (count == 0) return kNone;
  uint64_t hash = hash_of(frames, count);
  size_t place = hash & (hash_size_ - 1);
  for (; backtrace_hash_[place] != 0; place = (place + 1) & (hash_size_ - 1)) {
    Backtrace& known = backtraces_[backtrace_hash_[place] - 1];
    if (known.hash == hash && known.count == count &&
        memcmp(frames_ + known.first, frames, count * sizeof(*frames)) == 0) {
      ++known.threads;
      return backtrace_hash_[place] - 1;
    }
  }
  if (backtrace_count_ == capacity_) return kNone;
  if (frame_count_ + count > frame_capacity_) return kNone;
  memcpy(frames_ + frame_count_, frames, count * sizeof(*frames));
  backtraces_[backtrace_count_] = {hash, static_cast<uint32_t>(frame_count_), static_cast<uint32_t>(count),
                                   1};
  frame_count_ += count;
  backtrace_hash_[place] = static_cast<uint32_t>(++backtrace_count_);
  return static_cast<uint32_t>(backtrace_count_ - 1);
}

// A kernel thread that no blocking region vouches for: in a system call it is left alone, since a signal
// would end some of them; on a CPU it stands still for a moment. Where many threads want the CPUs that takes
// its time, so there is a limit for all of them together.
size_t Snapshot::walk_kernel_thread(pid_t tid, const Worker* worker, const Coroutine* coroutine,
                                    const KernelPosition& position, uintptr_t* frames) {
  size_t count = 0;
  if (position.call != nullptr) {
    UnwindStart start;
    start.rip = position.address;
    start.rsp = position.stack_pointer;
    start.interrupted = start.pointers_only = true;
    StackReader stack(nullptr);
    return unwinder_->walk(start_of(start), &stack, frames, kMaximumFrames);
  }
  if (patience_ <= 0) return 0;
  Nanoseconds began = monotonic_now();
  bool found = walk_running(unwinder_, tid, worker, coroutine, frames, kMaximumFrames, &count);
  patience_ -= monotonic_now() - began;
  return found ? count : 0;
}

size_t Snapshot::walk(const Coroutine* coroutine, ThreadRecord* record, uintptr_t* frames) {
  size_t count = 0;
  if (record->state == CoroutineState::parked || record->state == CoroutineState::runnable)
    return unwinder_->walk_parked(coroutine, frames, kMaximumFrames);
  if (record->state != CoroutineState::running) return 0;
  if (coroutine->frozen.load(std::memory_order_acquire) == kFrozen)
    return unwinder_->walk_frozen(coroutine, frames, kMaximumFrames);
  if (walk_blocked(unwinder_, coroutine, frames, &count)) return count;
  Worker* worker = worker_of(coroutine);
  if (worker == nullptr) return 0;
  KernelPosition position = kernel_position(worker->tid);
  record->call = position.call;  // one that no hook saw
  return walk_kernel_thread(worker->tid, worker, coroutine, position, frames);
}

// What it runs now counts too, unless it stands in a call.
uint64_t Snapshot::cpu_ticks(const ThreadRecord& record) const {
  const Coroutine* coroutine = record.coroutine;
  uint64_t ticks = coroutine->run_ticks, until = now_;
  if (record.state != CoroutineState::running) return ticks;
  if (record.wait == WaitKind::blocked_call) {
    until = coroutine->wait_since;
  } else if (record.call != nullptr) {
    return ticks;
  }
  return until > coroutine->resumed_at ? ticks + (until - coroutine->resumed_at) : ticks;
}

// One look. False: it went on meanwhile.
bool Snapshot::try_coroutine(Coroutine* coroutine, ThreadRecord* record) {
  *record = ThreadRecord{};
  record->coroutine = coroutine;
  record->state = coroutine->state.load(std::memory_order_acquire);
  record->id = coroutine->id;
  record->tid = coroutine->tid;
  record->switches = coroutine->switches;
  keep_name(record, coroutine->name);
  record->wait = coroutine->wait_kind;
  std::atomic_signal_fence(std::memory_order_acquire);
  record->object = coroutine->wait_object;
  if (record->wait == WaitKind::blocked_call) record->call = static_cast<const char*>(record->object);
  record->polled = coroutine->polled;
  record->timed = coroutine->timer_processor.load(std::memory_order_relaxed) != nullptr;
  bool waits = record->state == CoroutineState::parked || record->wait == WaitKind::blocked_call;
  record->since = waits                                      ? coroutine->wait_since
                  : record->state == CoroutineState::running ? coroutine->resumed_at
                                                             : 0;
  record->start_routine = start_routine_of(coroutine);
  record->stack_size = coroutine->stack_size;
  record->stack_is_user = coroutine->user_stack;
  record->residency = coroutine->residency.load(std::memory_order_acquire);
  auto* pointer = static_cast<char*>(coroutine->stack_pointer);
  const StackSlot* slot = coroutine->slot;
  uintptr_t frames[kMaximumFrames];
  size_t count = walk(coroutine, record, frames);
  record->cpu_nanoseconds = cpu_ticks(*record) * 1000 / g_ticks_per_microsecond;
  bool stands = record->state == CoroutineState::parked || record->state == CoroutineState::runnable;
  if (stands && slot != nullptr && pointer > slot->stack_low && pointer < slot->stack_top)
    record->stack_used = static_cast<size_t>(slot->stack_top - pointer);
  if (stands && g_shared_stacks) record->stack_used = shared_stack_bytes(coroutine).size;
  if (slot != nullptr && !record->stack_is_user) {
    record->stack_touched = touched_bytes(slot);
    size_t depth = touched_depth(slot);
    record->stack_deepest = depth > coroutine->deepest ? depth : coroutine->deepest;
    note_depth(record->stack_deepest);
  }
  if (coroutine->switches != record->switches || coroutine->id != record->id ||
      coroutine->state.load(std::memory_order_acquire) != record->state ||
      coroutine->wait_kind != record->wait || coroutine->wait_object != record->object) {
    return false;
  }
  // The innermost frame is the switch itself, which has two places to switch at: no difference to anybody.
  size_t skipped = stands && record->switches != 0 && count > 1 ? 1 : 0;
  record->backtrace = intern(frames + skipped, count - skipped);
  return true;
}

void Snapshot::take_coroutine(Coroutine* coroutine) {
  if (count_ == capacity_) {
    ++left_out_;
    return;
  }
  ThreadRecord* record = &records_[count_];
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (coroutine->state.load(std::memory_order_acquire) == CoroutineState::free) return;
    if (try_coroutine(coroutine, record)) {
      ++count_;
      return;
    }
  }
  // Too fast for a backtrace; what was seen last must do.
  record->backtrace = kNone;
  record->wait = WaitKind::none;
  ++count_;
}

void Snapshot::take_one(Coroutine* coroutine, void* self) {
  static_cast<Snapshot*>(self)->take_coroutine(coroutine);
}

void Snapshot::take_kernel_thread(pid_t tid, const char* name) {
  if (count_ == capacity_) return;
  ThreadRecord* record = &records_[count_++];
  *record = ThreadRecord{};
  record->tid = tid;
  keep_name(record, name);
  record->cpu_nanoseconds = cpu_time_of(tid);
  record->backtrace = kNone;
  KernelPosition position = kernel_position(tid);
  record->call = position.call;
  record->state = position.call != nullptr ? CoroutineState::parked : CoroutineState::running;
  const Thread* thread = kernel_thread_by_tid(tid);
  uintptr_t frames[kMaximumFrames];
  size_t count = 0;
  if (thread != nullptr && walk_blocked(unwinder_, thread, frames, &count)) {
    record->wait = thread->wait_kind;
    std::atomic_signal_fence(std::memory_order_acquire);
    record->object = thread->wait_object;
    if (thread->wait_kind != record->wait) record->wait = WaitKind::none;  // it goes on
    record->since = thread->wait_since;
    record->state = CoroutineState::parked;
  } else {
    count = walk_kernel_thread(tid, nullptr, nullptr, position, frames);
  }
  record->backtrace = intern(frames, count);
}

// The program's own: all that are not ours.
void Snapshot::take_kernel_threads() {
  long fd = sys::call(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return;
  static char entries[4096];  // the dump's alone
  for (;;) {
    long size = sys::call(SYS_getdents64, fd, entries, sizeof(entries));
    if (size <= 0) break;
    for (long at = 0; at < size;) {
      unsigned short length;
      memcpy(&length, entries + at + 16, sizeof(length));  // struct linux_dirent64: getdents(2)
      const char* digits = entries + at + 19;
      at += length;
      pid_t tid = 0;
      for (const char* p = digits; *p >= '0' && *p <= '9'; ++p) tid = tid * 10 + (*p - '0');
      char path[64], name[32] = {};
      format_text(path, sizeof(path), "/proc/self/task/%d/comm", tid);
      long comm = tid == 0 ? -1 : sys::call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
      if (comm < 0) continue;
      long got = sys::call(SYS_read, comm, name, sizeof(name) - 1);
      sys::close(static_cast<int>(comm));
      if (got > 0 && name[got - 1] == '\n') name[got - 1] = '\0';
      if (strncmp(name, "coshim/", 7) != 0) take_kernel_thread(tid, name);
    }
  }
  sys::close(static_cast<int>(fd));
}

void Snapshot::sort() {
  auto less = [this](uint32_t a, uint32_t b) {
    return records_[a].id != records_[b].id ? records_[a].id < records_[b].id
                                            : records_[a].tid < records_[b].tid;
  };
  for (size_t i = 0; i < count_; ++i) order_[i] = static_cast<uint32_t>(i);
  auto sift = [&](size_t root, size_t end) {  // heap sort
    for (size_t child; (child = root * 2 + 1) < end; root = child) {
      if (child + 1 < end && less(order_[child], order_[child + 1])) ++child;
      if (!less(order_[root], order_[child])) return;
      uint32_t other = order_[root];
      order_[root] = order_[child];
      order_[child] = other;
    }
  };
  for (size_t i = count_ / 2; i > 0; --i) sift(i - 1, count_);
  for (size_t end = count_; end > 1; --end) {
    uint32_t last = order_[end - 1];
    order_[end - 1] = order_[0];
    order_[0] = last;
    sift(0, end - 1);
  }
}

}  // namespace coshim

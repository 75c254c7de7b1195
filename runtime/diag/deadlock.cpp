// Who waits for whom, and the cycles in it. Each thread waits for one thing, and that has one holder whom we
// know (the owner of a mutex, the writer of an rwlock, the thread that is joined), so the graph is a set of
// chains, and a cycle in it is a deadlock: natively it would be one too.
#include "runtime/diag/snapshot.h"
#include "runtime/thread/pool.h"

namespace coshim {

uint32_t Snapshot::index_of(pid_t tid) const {
  if (tid == 0) return kNone;
  auto place = static_cast<uint32_t>(tid) * 0x9E3779B1U & (hash_size_ - 1);
  for (; tid_hash_[place] != 0; place = (place + 1) & (hash_size_ - 1)) {
    if (records_[tid_hash_[place] - 1].tid == tid) return tid_hash_[place] - 1;
  }
  return kNone;
}

void Snapshot::find_holders() {
  for (size_t i = 0; i < count_; ++i) {
    auto place = static_cast<uint32_t>(records_[i].tid) * 0x9E3779B1U & (hash_size_ - 1);
    while (tid_hash_[place] != 0) place = (place + 1) & (hash_size_ - 1);
    tid_hash_[place] = static_cast<uint32_t>(i + 1);
  }
  for (size_t i = 0; i < count_; ++i) {
    ThreadRecord& record = records_[i];
    record.holder_index = kNone;
    if (record.state != CoroutineState::parked) continue;
    record.holder = holder_of(record.wait, record.object, &record.readers);
    record.holder_index = index_of(record.holder);
    if (record.holder_index == kNone) continue;
    ThreadRecord& holder = records_[record.holder_index];
    if (holder.state == CoroutineState::finished) {
      record.holder_index = kNone;
    } else {
      ++holder.waiters;
    }
  }
}

// The threads were looked at one after the other: a cycle counts if every member still waits for the same
// thing with the same holder, all of them since before the first of these two looks.
bool Snapshot::still_deadlocked(uint32_t first) const {
  for (uint32_t at = first;;) {
    const ThreadRecord& record = records_[at];
    const Thread* thread = record.coroutine;
    if (thread == nullptr) thread = kernel_thread_by_tid(record.tid);
    uint32_t readers;
    if (thread == nullptr || thread->wait_kind != record.wait || thread->wait_object != record.object ||
        thread->tid != record.tid || holder_of(record.wait, record.object, &readers) != record.holder) {
      return false;
    }
    at = record.holder_index;
    if (at == first) return true;
  }
}

void Snapshot::find_deadlocks() {
  // `cycle` serves as the mark of the walk that came by, above all numbers of deadlocks.
  constexpr uint32_t kMarks = 1U << 31;
  for (uint32_t i = 0; i < count_; ++i) {
    uint32_t at = i, mark = kMarks | i;
    while (at != kNone && records_[at].cycle == 0) {
      records_[at].cycle = mark;
      at = records_[at].holder_index;
    }
    if (at == kNone || records_[at].cycle != mark || !still_deadlocked(at)) continue;
    ++deadlocks_;
    for (uint32_t member = at; records_[member].cycle == mark; member = records_[member].holder_index)
      records_[member].cycle = deadlocks_;
  }
  for (uint32_t i = 0; i < count_; ++i) {
    if (records_[i].cycle >= kMarks) records_[i].cycle = 0;
  }
}

uint32_t Snapshot::first_of(uint32_t number) const {
  for (size_t i = 0; i < count_; ++i) {
    if (records_[order_[i]].cycle == number) return order_[i];
  }
  return kNone;
}

}  // namespace coshim

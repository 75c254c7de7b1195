#include "runtime/thread/robust.h"

#include "runtime/base/permanent.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/tcb.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

// That a coroutine holds a mutex which is kept in the other list.
struct KeptMutex {
  KeptMutex* next;
  pthread_mutex_t* mutex;
};

namespace {

constexpr int kLimit = 2048;  // the kernel's ROBUST_LIST_LIMIT: the list may be broken

using Word = std::atomic<uint32_t>;

// A list as glibc has it in struct pthread: links point to each element's `next`, and `previous` stands
// right before it, in the head as in pthread_mutex_t.
struct Link {
  Link* next;
  Link*& previous() { return *(reinterpret_cast<Link**>(this) - 1); }
};
struct ListHead {
  Link* previous;
  robust_list_head head;
};
Link* first_of(robust_list_head* head) {
  return reinterpret_cast<Link*>(&head->list);
}
Link* link_of(pthread_mutex_t* mutex) {
  return reinterpret_cast<Link*>(&mutex->__data.__list.__next);
}
Word& word_of(pthread_mutex_t* mutex) {
  return *reinterpret_cast<Word*>(&mutex->__data.__lock);
}

SpinLock g_lock;  // guards the list, its order of steps, and what is unused
ListHead g_kept;
constexpr pid_t kNoKeeper = -1;
std::atomic<pid_t> g_keeper{0};  // 0: not there yet
KeptMutex* g_unused;

void insert(robust_list_head* head, Link* link) {
  Link* list = first_of(head);
  list->next->previous() = link;
  link->next = list->next;
  link->previous() = list;
  list->next = link;
}
void remove(Link* link) {
  link->next->previous() = link->previous();
  link->previous()->next = link->next;
  link->next = link->previous() = nullptr;
}

bool holds(pthread_mutex_t* mutex, pid_t tid) {
  return (word_of(mutex).load(std::memory_order_relaxed) & FUTEX_TID_MASK) == static_cast<uint32_t>(tid);
}

// From the name of one to that of the other, and from list to list. At each moment the keeper's list, or what
// it says is under way, covers the mutex if its word has the keeper's name.
void move(pthread_mutex_t* mutex, pid_t to, robust_list_head* list) {
  Link* link = link_of(mutex);
  auto* pending = reinterpret_cast<robust_list*>(link);
  __atomic_store_n(&g_kept.head.list_op_pending, pending, __ATOMIC_SEQ_CST);
  remove(link);
  Word& word = word_of(mutex);
  uint32_t value = word.load();
  while (!word.compare_exchange_weak(value, (value & ~FUTEX_TID_MASK) | static_cast<uint32_t>(to))) {
  }
  insert(list, link);
  __atomic_store_n(&g_kept.head.list_op_pending, nullptr, __ATOMIC_SEQ_CST);
}

// It starts with the first thread.
pid_t keeper() {
  pid_t tid;
  for (int i = 0; i < 10000 && (tid = g_keeper.load(std::memory_order_acquire)) == 0; ++i) sys::yield();
  return tid;
}

KeptMutex* take_note(Coroutine* self, const pthread_mutex_t* mutex) {
  for (KeptMutex** at = &self->kept_mutexes; *at != nullptr; at = &(*at)->next) {
    KeptMutex* note = *at;
    if (note->mutex != mutex) continue;
    *at = note->next;
    return note;
  }
  return nullptr;
}

void take_back_from_keeper(Coroutine* self, const pthread_mutex_t* mutex) {
  CriticalSection critical;
  SpinGuard guard(g_lock);
  KeptMutex* note = take_note(self, mutex);
  if (note == nullptr) return;
  move(note->mutex, self->tid, tcb_robust_list(self->fs_base));
  note->next = g_unused;
  g_unused = note;
}

void release_one(uint32_t* word, pid_t tid) {
  Word& futex = *reinterpret_cast<Word*>(word);
  uint32_t value = futex.load();
  do {
    if ((value & FUTEX_TID_MASK) != static_cast<uint32_t>(tid)) return;
  } while (!futex.compare_exchange_weak(value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED));
  lot_wake(word, 1);
  if ((value & FUTEX_WAITERS) != 0) sys::call(SYS_futex, word, FUTEX_WAKE, 1);  // waiters of other processes
}

}  // namespace

void SharedRobustOperation::take_back() {
  Coroutine* self = t_local.coroutine;
  if (self != nullptr && self->kept_mutexes != nullptr) take_back_from_keeper(self, mutex_);
}

// Where memory ends, it stays with the coroutine.
void SharedRobustOperation::hand_in() {
  Coroutine* self = t_local.coroutine;
  if (self == nullptr || !holds(mutex_, self->tid)) return;
  pid_t to = keeper();
  if (to <= 0) return;
  CriticalSection critical;
  SpinGuard guard(g_lock);
  KeptMutex* note = g_unused;
  if (note != nullptr) {
    g_unused = note->next;
  } else {
    note = static_cast<KeptMutex*>(permanent_memory(sizeof(KeptMutex)));
    if (note == nullptr) return;
  }
  *note = {self->kept_mutexes, mutex_};
  self->kept_mutexes = note;
  move(mutex_, to, &g_kept.head);
}

void keep_robust_mutexes_here() {
  SpinGuard guard(g_lock);
  Link* list = first_of(&g_kept.head);
  list->next = list;
  g_kept.previous = list;
  g_kept.head.list_op_pending = nullptr;
  g_kept.head.futex_offset = static_cast<long>(offsetof(pthread_mutex_t, __data.__lock)) -
                             static_cast<long>(offsetof(pthread_mutex_t, __data.__list.__next));
  bool known = sys::call(SYS_set_robust_list, &g_kept.head, sizeof(g_kept.head)) == 0;
  g_keeper.store(known ? sys::gettid() : kNoKeeper, std::memory_order_release);
}

void robust_reset_after_fork() {
  g_lock.reset();
  g_keeper.store(0);
  g_unused = nullptr;
}

void release_robust_mutexes(Coroutine* self) {
  while (self->kept_mutexes != nullptr) take_back_from_keeper(self, self->kept_mutexes->mutex);
  auto* head = tcb_robust_list(self->fs_base);
  uintptr_t end = reinterpret_cast<uintptr_t>(head);
  uintptr_t item = reinterpret_cast<uintptr_t>(head->list.next) & ~uintptr_t{1};
  for (int i = 0; i < kLimit && item != end && item != 0; ++i) {
    uintptr_t next = reinterpret_cast<uintptr_t>(reinterpret_cast<robust_list*>(item)->next) & ~uintptr_t{1};
    release_one(reinterpret_cast<uint32_t*>(item + static_cast<uintptr_t>(head->futex_offset)), self->tid);
    item = next;
  }
}

}  // namespace coshim

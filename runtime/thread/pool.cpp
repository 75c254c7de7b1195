#include "runtime/thread/pool.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>

#include <new>

#include "runtime/base/log.h"
#include "runtime/base/native.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/lifecycle.h"

namespace coshim {

namespace {

constexpr size_t kBlockBytes = 256 * 1024;
// Above the kernel's own maximum (2^22), below FUTEX_TID_MASK: never a real thread's.
// A clock's number has room for 28 bits of it (runtime/sched/cpu_time.h).
constexpr uint32_t kFirstTid = 1 << 22, kTidRange = (1 << 28) - kFirstTid;

struct Block {
  Block* next;
  size_t count;
  Coroutine* records;  // right behind
};

SpinLock g_lock;
Coroutine* g_free;
std::atomic<Block*> g_blocks{nullptr};
size_t g_fresh_left;
Coroutine* g_fresh;
uint64_t g_next_id = 1, g_first_id = 1;  // this process's first; a fork's child goes on numbering
// Differs between parent and child: process-shared objects remember their owner by it. A hash of the pid.
uint64_t g_tid_base;
uint64_t g_alive, g_peak;

struct KernelThreadPage {
  KernelThreadPage* next;
  Thread records[(4096 - sizeof(void*)) / sizeof(Thread)];
};

SpinLock g_kernel_lock;
KernelThreadPage g_first_kernel_threads;  // the first ones need no memory
std::atomic<KernelThreadPage*> g_kernel_thread_pages{nullptr};
List<Thread, &Thread::pool_link> g_free_kernel_threads;
pthread_key_t g_kernel_key;
bool g_kernel_key_made;

void* map_pages(size_t size) {
  long result =
      sys::call(SYS_mmap, nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return result < 0 && result > -4096 ? nullptr : reinterpret_cast<void*>(result);
}

bool add_block() {
  auto* block = static_cast<Block*>(map_pages(kBlockBytes));
  if (block == nullptr) return false;
  block->count = (kBlockBytes - sizeof(Block) - 64) / sizeof(Coroutine);
  block->records = reinterpret_cast<Coroutine*>(reinterpret_cast<char*>(block) + 64);
  for (size_t i = 0; i < block->count; ++i) new (&block->records[i]) Coroutine;
  block->next = g_blocks.load(std::memory_order_relaxed);
  g_blocks.store(block, std::memory_order_release);
  g_fresh = block->records;
  g_fresh_left = block->count;
  return true;
}

void release_kernel_record(void* record) {
  CriticalSection critical;
  t_local.thread = nullptr;
  SpinGuard guard(g_kernel_lock);
  static_cast<Thread*>(record)->tid = 0;
  g_free_kernel_threads.push_front(static_cast<Thread*>(record));
}

}  // namespace

const PoolLayout g_pool_layout = {&g_blocks, offsetof(Block, next), offsetof(Block, count),
                                  offsetof(Block, records)};

Coroutine* acquire_coroutine() {
  SpinGuard guard(g_lock);
  if (g_tid_base == 0) g_tid_base = static_cast<uint32_t>(sys::getpid()) * 0x9E3779B1U | 1;
  Coroutine* coroutine = g_free;
  if (coroutine != nullptr) {
    g_free = coroutine->queue_next;
  } else {
    if (g_fresh_left == 0 && !add_block()) return nullptr;
    coroutine = g_fresh++;
    --g_fresh_left;
  }
  coroutine->id = g_next_id++;
  coroutine->tid = static_cast<pid_t>(kFirstTid + (coroutine->id + g_tid_base) % kTidRange);
  coroutine->is_coroutine = true;
  if (++g_alive > g_peak) g_peak = g_alive;
  return coroutine;
}

void release_coroutine(Coroutine* coroutine) {
  SpinGuard guard(g_lock);
  coroutine->state.store(CoroutineState::free, std::memory_order_relaxed);
  coroutine->queue_next = g_free;
  g_free = coroutine;
  --g_alive;
}

void for_each_coroutine(void (*visit)(Coroutine*, void*), void* context) {
  for (Block* block = g_blocks.load(std::memory_order_acquire); block != nullptr; block = block->next) {
    for (size_t i = 0; i < block->count; ++i) {
      if (block->records[i].state.load(std::memory_order_acquire) != CoroutineState::free) {
        visit(&block->records[i], context);
      }
    }
  }
}

void for_each_kernel_thread(void (*visit)(Thread*)) {
  for (KernelThreadPage* page = g_kernel_thread_pages.load(std::memory_order_acquire); page != nullptr;
       page = page->next) {
    for (Thread& record : page->records) visit(&record);
  }
}

const Thread* kernel_thread_by_tid(pid_t tid) {
  for (KernelThreadPage* page = g_kernel_thread_pages.load(std::memory_order_acquire); page != nullptr;
       page = page->next) {
    for (const Thread& record : page->records) {
      if (record.tid == tid) return &record;
    }
  }
  return nullptr;
}

Coroutine* coroutine_by_tid(pid_t tid) {
  if (tid <= static_cast<pid_t>(kFirstTid)) return nullptr;
  if (t_local.coroutine != nullptr && t_local.coroutine->tid == tid) return t_local.coroutine;
  struct Search {
    pid_t tid;
    Coroutine* found;
  } search{tid, nullptr};
  for_each_coroutine(
      [](Coroutine* coroutine, void* context) {
        auto* wanted = static_cast<Search*>(context);
        if (coroutine->tid == wanted->tid &&
            coroutine->state.load(std::memory_order_relaxed) != CoroutineState::finished) {
          wanted->found = coroutine;
        }
      },
      &search);
  return search.found;
}

CoroutineCounts coroutine_counts() {
  SpinGuard guard(g_lock);
  return {g_next_id - g_first_id, g_alive, g_peak};
}

Thread* make_kernel_thread_record() {
  Thread* thread;
  {
    CriticalSection critical;
    SpinGuard guard(g_kernel_lock);
    thread = g_free_kernel_threads.pop_front();
    if (thread == nullptr) {
      // A page holds many: the records of kernel threads are few.
      bool first = g_kernel_thread_pages.load(std::memory_order_relaxed) == nullptr;
      auto* page = first ? &g_first_kernel_threads : static_cast<KernelThreadPage*>(map_pages(4096));
      COSHIM_CHECK(page != nullptr);
      for (Thread& record : page->records) g_free_kernel_threads.push_back(new (&record) Thread);
      page->next = g_kernel_thread_pages.load(std::memory_order_relaxed);
      g_kernel_thread_pages.store(page, std::memory_order_release);
      thread = g_free_kernel_threads.pop_front();
    }
    if (!g_kernel_key_made) {
      g_kernel_key_made = true;
      auto create = g_native.pthread_key_create;
      if (create == nullptr || create(&g_kernel_key, &release_kernel_record) != 0)
        g_kernel_key = ~pthread_key_t{0};
    }
    thread->tid = sys::gettid();
    thread->park_state.store(0, std::memory_order_relaxed);
    thread->interrupts.store(0, std::memory_order_relaxed);
    t_local.thread = thread;
  }
  pthread_setspecific(g_kernel_key, thread);
  return thread;
}

void abandon_coroutines_after_fork(Coroutine* self) {
  g_first_id = g_next_id;
  for (Block* block = g_blocks.load(); block != nullptr; block = block->next) {
    for (size_t i = 0; i < block->count; ++i) {
      Coroutine* coroutine = &block->records[i];
      if (coroutine == self) coroutine->tid = 0;  // the kernel's number is its from now on
      if (coroutine == self || coroutine->state.load() == CoroutineState::free || coroutine->fs_base == 0)
        continue;
      new (&coroutine->wait_node) WaitNode;
      coroutine->timer_processor.store(nullptr);
      if (coroutine->residency.load() != Residency::resident) {
        // The child may still read its stack: it stays where a touch brings it back.
        coroutine->state.store(CoroutineState::finished);
        continue;
      }
      release_stack(coroutine);
      release_coroutine(coroutine);
    }
  }
  g_peak = g_alive;
}

void lock_pools_for_fork() {
  g_lock.lock();
  g_kernel_lock.lock();
}

void unlock_pools_after_fork(bool child) {
  if (child) {
    g_tid_base = 0;
    g_kernel_lock.reset();
    g_lock.reset();
    return;
  }
  g_kernel_lock.unlock();
  g_lock.unlock();
}

}  // namespace coshim

#include "runtime/thread/loaded_modules.h"

#include <string.h>
#include <sys/auxv.h>

#include <atomic>

#include "runtime/base/spin_lock.h"
#include "runtime/base/system_call.h"
#include "runtime/thread/critical.h"

namespace coshim {

namespace {

SpinLock g_lock;
std::atomic<pid_t> g_holder{0};

int asks_for_executable_stacks(dl_phdr_info* info, size_t, void*) {
  // The vDSO does not come through the dynamic loader.
  if (info->dlpi_addr == getauxval(AT_SYSINFO_EHDR)) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type == PT_GNU_STACK) return (info->dlpi_phdr[i].p_flags & PF_X) != 0;
  }
  return 1;
}

bool contains(const dl_phdr_info* info, const void* address) {
  auto at = reinterpret_cast<uintptr_t>(address) - info->dlpi_addr;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type == PT_LOAD && at - segment.p_vaddr < segment.p_memsz) return true;
  }
  return false;
}

struct NameSearch {
  const char* symbol;
  const void* definition;
};

// elf(5): DT_STRTAB holds the names of all dynamic symbols, each ended by a zero byte, and begins with one.
int names(dl_phdr_info* info, size_t, void* context) {
  const auto* search = static_cast<const NameSearch*>(context);
  if (contains(info, search->definition) || contains(info, &g_holder)) return 0;
  const ElfW(Dyn)* entry = nullptr;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
      entry = reinterpret_cast<const ElfW(Dyn)*>(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
  }
  const char* strings = nullptr;
  size_t size = 0;
  for (; entry != nullptr && entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_STRTAB) strings = reinterpret_cast<const char*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_STRSZ) size = entry->d_un.d_val;
  }
  // The dynamic loader has made it an address, except in the vDSO.
  if (strings == nullptr || !contains(info, strings)) return 0;
  const size_t length = strlen(search->symbol) + 1;
  for (const char* at = strings; size > length; ++at, --size) {
    if (*at == '\0' && memcmp(at + 1, search->symbol, length) == 0) return 1;
  }
  return 0;
}

}  // namespace

bool module_names(const char* symbol, const void* definition) {
  NameSearch search{symbol, definition};
  return for_each_module(&names, &search) != 0;
}

bool module_wants_executable_stacks() {
  return for_each_module(&asks_for_executable_stacks, nullptr) != 0;
}

int for_each_module(int (*visit)(dl_phdr_info*, size_t, void*), void* context) {
  CriticalSection critical;
  const pid_t self = sys::gettid();
  // The report of a stack that overflowed in here.
  if (g_holder.load(std::memory_order_relaxed) == self) return dl_iterate_phdr(visit, context);
  SpinGuard guard(g_lock);
  g_holder.store(self, std::memory_order_relaxed);
  int result = dl_iterate_phdr(visit, context);
  g_holder.store(0, std::memory_order_relaxed);
  return result;
}

void lock_modules_for_fork() {
  g_lock.lock();
}

void unlock_modules_after_fork(bool child) {
  if (child) {
    g_lock.reset();
  } else {
    g_lock.unlock();
  }
}

}  // namespace coshim

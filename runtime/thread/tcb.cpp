#include "runtime/thread/tcb.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/base/log.h"
#include "runtime/base/native.h"

namespace coshim {

TcbLayout g_tcb_layout;
int g_malloc_word_count = 0;
ptrdiff_t g_malloc_word_offsets[kMaximumMallocWords];

namespace {

constexpr size_t kPrototypeSize = 512 * 1024;
constexpr int kMaximumFixups = 64;
constexpr size_t kMaximumPthreadSize = 8192;
constexpr size_t kMaximumLibcTls = 4096;

// A datum of libc that describes a field of struct pthread for libthread_db: {bits, count, offset}.
struct FieldDescription {
  uint32_t bits, count, offset;
};

struct Prototype {
  uintptr_t fs_base = 0;
  pid_t tid = 0;
  uintptr_t robust_head = 0;
  // The pristine copies.
  alignas(64) unsigned char pthread_copy[kMaximumPthreadSize];
  alignas(64) unsigned char libc_tls_copy[kMaximumLibcTls];
  ptrdiff_t libc_tls_offset = 0;  // from fs_base
  size_t libc_tls_size = 0;
  // Offsets into the copies of words that point into the prototype's own block: moved with the block.
  uint16_t pthread_fixups[kMaximumFixups];
  int pthread_fixup_count = 0;
  uint16_t libc_fixups[kMaximumFixups];
  int libc_fixup_count = 0;
  // Offsets in struct pthread.
  uint32_t tid_offset = 0, list_offset = 0, specific_offset = 0, cancel_offset = 0;
  uint32_t specific_count = 0;
  uint32_t stack_low_offset = 0, stack_size_offset = 0;
  uint32_t robust_offset = 0;
  uint32_t rseq_offset = 0;
  const char* failure = nullptr;
};
Prototype g_prototype;

bool describe(const char* name, FieldDescription* out) {
  const void* datum = dlsym(RTLD_DEFAULT, name);
  if (datum == nullptr) return false;
  memcpy(out, datum, sizeof(*out));
  return true;
}

int find_libc_tls(dl_phdr_info* info, size_t, void*) {
  if (info->dlpi_tls_data == nullptr || strstr(info->dlpi_name, "/libc.so") == nullptr) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type == PT_TLS) {
      g_prototype.libc_tls_offset =
          static_cast<char*>(info->dlpi_tls_data) - reinterpret_cast<char*>(current_fs_base());
      g_prototype.libc_tls_size = info->dlpi_phdr[i].p_memsz;
      return 1;
    }
  }
  return 0;
}

// The words of libc's TLS that malloc's first use in a thread changes.
void find_malloc_words(uintptr_t fs) {
  unsigned char before[kMaximumLibcTls];
  const auto* live = reinterpret_cast<const unsigned char*>(fs + g_prototype.libc_tls_offset);
  memcpy(before, live, g_prototype.libc_tls_size);
  void* volatile probe = malloc(24);
  free(probe);
  int count = 0;
  for (size_t at = 0; at + 8 <= g_prototype.libc_tls_size; at += 8) {
    if (memcmp(before + at, live + at, 8) == 0) continue;
    if (count == kMaximumMallocWords) {
      count = 0;  // not what we know; each coroutine then keeps a cache of its own
      break;
    }
    g_malloc_word_offsets[count++] = g_prototype.libc_tls_offset + static_cast<ptrdiff_t>(at);
  }
  g_malloc_word_count = count;
}

void* prototype_main(void*) {
  Prototype& p = g_prototype;
  p.fs_base = current_fs_base();
  memcpy(p.pthread_copy, reinterpret_cast<void*>(p.fs_base), g_tcb_layout.pthread_size);
  dl_iterate_phdr(&find_libc_tls, nullptr);
  if (p.libc_tls_size == 0 || p.libc_tls_size > kMaximumLibcTls) {
    p.failure = "libc's TLS segment was not found";
    return nullptr;
  }
  memcpy(p.libc_tls_copy, reinterpret_cast<void*>(p.fs_base + p.libc_tls_offset), p.libc_tls_size);
  p.tid = sys::gettid();
  void* robust_head = nullptr;
  size_t length = 0;
  if (sys::call(SYS_get_robust_list, 0, &robust_head, &length) == 0)
    p.robust_head = reinterpret_cast<uintptr_t>(robust_head);
  g_tcb_layout.local_offset = reinterpret_cast<char*>(&t_local) - reinterpret_cast<char*>(p.fs_base);
  find_malloc_words(p.fs_base);
  return nullptr;
}

int find_fixups(const unsigned char* copy, size_t size, uintptr_t low, uintptr_t high, uint16_t* fixups) {
  int count = 0;
  for (size_t at = 0; at + 8 <= size; at += 8) {
    uintptr_t value;
    memcpy(&value, copy + at, 8);
    if (value < low || value >= high) continue;
    if (count == kMaximumFixups) return -1;
    fixups[count++] = static_cast<uint16_t>(at);
  }
  return count;
}

// The one word of struct pthread with this value; 0 where there is none or more than one (offset 0 is the TCB
// itself).
uint32_t find_unique_word(uintptr_t value) {
  uint32_t found = 0;
  for (size_t at = 8; at + 8 <= g_tcb_layout.pthread_size; at += 8) {
    uintptr_t word;
    memcpy(&word, g_prototype.pthread_copy + at, 8);
    if (word != value) continue;
    if (found != 0) return 0;
    found = static_cast<uint32_t>(at);
  }
  return found;
}

bool read_descriptions(const char** reason) {
  Prototype& p = g_prototype;
  FieldDescription tid{}, list{}, specific{}, cancel{};
  const auto* size = static_cast<const uint32_t*>(dlsym(RTLD_DEFAULT, "_thread_db_sizeof_pthread"));
  if (size == nullptr || !describe("_thread_db_pthread_tid", &tid) ||
      !describe("_thread_db_pthread_list", &list) || !describe("_thread_db_pthread_specific", &specific) ||
      !describe("_thread_db_pthread_cancelhandling", &cancel)) {
    *reason = "libc does not describe struct pthread";
    return false;
  }
  size_t static_size = 0, alignment = 0;
  g_native.dl_get_tls_static_info(&static_size, &alignment);
  if (*size < 512 || *size > kMaximumPthreadSize || static_size <= *size || alignment > 4096) {
    *reason = "the size of struct pthread or of the static TLS is implausible";
    return false;
  }
  g_tcb_layout.pthread_size = *size;
  g_tcb_layout.below = static_size - *size;
  g_tcb_layout.alignment = alignment < 64 ? 64 : alignment;
  p.tid_offset = tid.offset;
  p.list_offset = list.offset;
  p.specific_offset = specific.offset;
  p.specific_count = specific.count;
  p.cancel_offset = cancel.offset;
  const auto* rseq = static_cast<const ptrdiff_t*>(dlsym(RTLD_DEFAULT, "__rseq_offset"));
  if (rseq != nullptr && *rseq > 0 && static_cast<size_t>(*rseq) + 32 <= *size) {
    p.rseq_offset = static_cast<uint32_t>(*rseq);
  }
  return true;
}

const char* run_prototype(char* memory) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return "pthread_attr_init failed";
  pthread_attr_setstack(&attributes, memory, kPrototypeSize);
  sys::KernelSignalSet all = ~sys::KernelSignalSet{0}, old = 0;
  sys::set_signal_mask(SIG_SETMASK, &all, &old);
  pthread_t thread;
  int error = g_native.pthread_create(&thread, &attributes, &prototype_main, nullptr);
  sys::set_signal_mask(SIG_SETMASK, &old, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) return "the prototype thread could not be created";
  g_native.pthread_join(thread, nullptr);
  return g_prototype.failure;
}

template <typename T>
T copied_field(uint32_t offset) {
  T value;
  memcpy(&value, g_prototype.pthread_copy + offset, sizeof(T));
  return value;
}

const char* check_prototype(uintptr_t memory) {
  Prototype& p = g_prototype;
  uintptr_t low = memory, high = memory + kPrototypeSize;
  if (p.fs_base < low || p.fs_base + g_tcb_layout.pthread_size > high)
    return "the TCB is not where glibc places it";
  if (copied_field<uintptr_t>(0) != p.fs_base || copied_field<uintptr_t>(16) != p.fs_base) {
    return "the TCB header has an unknown layout";
  }
  if (copied_field<pid_t>(p.tid_offset) != p.tid) return "the tid is not where libc says";
  p.stack_low_offset = find_unique_word(low);
  p.stack_size_offset = find_unique_word(kPrototypeSize);
  if (p.stack_low_offset == 0 || p.stack_size_offset == 0)
    return "the stack's bounds were not found in the TCB";
  if (p.robust_head < p.fs_base || p.robust_head >= p.fs_base + g_tcb_layout.pthread_size) {
    return "the robust list is not in the TCB";
  }
  p.robust_offset = static_cast<uint32_t>(p.robust_head - p.fs_base);
  p.pthread_fixup_count = find_fixups(p.pthread_copy, g_tcb_layout.pthread_size, low, high, p.pthread_fixups);
  p.libc_fixup_count = find_fixups(p.libc_tls_copy, p.libc_tls_size, low, high, p.libc_fixups);
  if (p.pthread_fixup_count < 3 || p.libc_fixup_count < 0) return "the TCB's own pointers were not found";
  return nullptr;
}

void apply_fixups(char* target, const uint16_t* fixups, int count, ptrdiff_t distance) {
  for (int i = 0; i < count; ++i) {
    uintptr_t value;
    memcpy(&value, target + fixups[i], 8);
    value += static_cast<uintptr_t>(distance);
    memcpy(target + fixups[i], &value, 8);
  }
}

// __errno_location is declared const: through a volatile pointer, the compiler asks it anew after FS base has
// changed.
int* (*volatile g_errno_location)() = &__errno_location;

// A trial: builds a TCB, stands on it for a moment, and asks glibc who we are.
const char* trial(void* memory) {
  const size_t room = g_tcb_layout.below + g_tcb_layout.alignment;
  uintptr_t address = (reinterpret_cast<uintptr_t>(memory) + room) & ~(g_tcb_layout.alignment - 1);
  void* tcb = reinterpret_cast<void*>(address);
  if (!tcb_build(tcb, false, 1 << 22, memory, kPrototypeSize)) return "the trial TCB could not be built";
  const uintptr_t own = current_fs_base();
  sys::KernelSignalSet all = ~sys::KernelSignalSet{0}, old = 0;
  sys::set_signal_mask(SIG_SETMASK, &all, &old);
  sys::call(SYS_arch_prctl, 0x1002 /* ARCH_SET_FS */, address);
  bool self_found = reinterpret_cast<uintptr_t>(pthread_self()) == address;
  const int* errno_there = g_errno_location();
  sys::call(SYS_arch_prctl, 0x1002, own);
  sys::set_signal_mask(SIG_SETMASK, &old, nullptr);
  bool errno_apart = errno_there != g_errno_location();
  g_native.dl_deallocate_tls(tcb, false);
  if (!self_found) return "pthread_self() does not follow the TCB";
  return errno_apart ? nullptr : "errno does not follow the TCB";
}

}  // namespace

bool tcb_initialize(const char** reason) {
  if (!read_descriptions(reason)) return false;
  long mapped = sys::call(SYS_mmap, nullptr, kPrototypeSize, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped < 0) {
    *reason = "no memory for the prototype thread";
    return false;
  }
  auto* memory = reinterpret_cast<char*>(mapped);
  *reason = run_prototype(memory);
  if (*reason == nullptr) *reason = check_prototype(reinterpret_cast<uintptr_t>(memory));
  if (*reason == nullptr) *reason = trial(memory);
  sys::call(SYS_munmap, memory, kPrototypeSize);
  return *reason == nullptr;
}

bool tcb_build(void* tcb, bool used_before, pid_t tid, void* stack_low, size_t stack_size) {
  const Prototype& p = g_prototype;
  auto* target = static_cast<char*>(tcb);
  if (used_before) g_native.dl_deallocate_tls(tcb, false);
  memcpy(target, p.pthread_copy, g_tcb_layout.pthread_size);
  const ptrdiff_t distance = target - reinterpret_cast<char*>(p.fs_base);
  apply_fixups(target, p.pthread_fixups, p.pthread_fixup_count, distance);

  memcpy(target + p.tid_offset, &tid, sizeof(tid));
  memcpy(target + p.stack_low_offset, &stack_low, sizeof(stack_low));
  memcpy(target + p.stack_size_offset, &stack_size, sizeof(stack_size));
  // Not on glibc's list of threads: linked to itself, so that the child of a fork can take it off.
  void* list[2] = {target + p.list_offset, target + p.list_offset};
  memcpy(target + p.list_offset, list, sizeof(list));
  void* robust = target + p.robust_offset;
  memcpy(target + p.robust_offset, &robust, sizeof(robust));
  if (p.rseq_offset != 0) {
    // cpu_id_start 0, cpu_id RSEQ_CPU_ID_REGISTRATION_FAILED: sched_getcpu asks the kernel (glibc manual,
    // rseq).
    memset(target + p.rseq_offset, 0, 32);
    int32_t unregistered = -2;
    memcpy(target + p.rseq_offset + 4, &unregistered, sizeof(unregistered));
  }
  if (g_native.dl_allocate_tls(tcb) == nullptr) return false;

  char* libc_tls = target + p.libc_tls_offset;
  memcpy(libc_tls, p.libc_tls_copy, p.libc_tls_size);
  apply_fixups(libc_tls, p.libc_fixups, p.libc_fixup_count, distance);
  return true;
}

void tcb_free_key_blocks(void* tcb) {
  auto** blocks = reinterpret_cast<void**>(static_cast<char*>(tcb) + g_prototype.specific_offset);
  for (uint32_t i = 1; i < g_prototype.specific_count; ++i) {
    if (blocks[i] == nullptr) continue;
    free(blocks[i]);
    blocks[i] = nullptr;
  }
}

int tcb_cancel_state(uintptr_t fs_base) {
  return *reinterpret_cast<volatile int*>(fs_base + g_prototype.cancel_offset);
}

robust_list_head* tcb_robust_list(uintptr_t fs_base) {
  return reinterpret_cast<robust_list_head*>(fs_base + g_prototype.robust_offset);
}

pid_t tcb_tid(uintptr_t fs_base) {
  return *reinterpret_cast<volatile pid_t*>(fs_base + g_prototype.tid_offset);
}

}  // namespace coshim

// dlopen(3) while coroutines live. glibc gives a library whose thread-local variables lie in the static area
// (of the initial-exec model; small ones reached by TLS descriptors) their first values in the threads on its
// own list; coroutines are not on it, so we do the same for them.
//
// dlopen looks at its return address to find the caller's RUNPATH and $ORIGIN, so a wrapper that stays on the
// stack would be taken for the caller. Where the name makes no use of them (it has a slash and no dollar)
// that does not matter. Else the real function is called so that it returns to a `ret` in the caller's own
// code, and from there to us; where there is none, the call is passed on with one jump.
#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include "preload/hook.h"
#include "runtime/base/spin_lock.h"
#include "runtime/stack/elastic.h"
#include "runtime/stack/pager.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/loaded_modules.h"
#include "runtime/thread/pool.h"
#include "runtime/thread/tcb.h"

#undef p_type  // resolv.h

extern "C" void* __tls_get_addr(void* index);

namespace coshim {

namespace {

// A loaded module that may have its thread-local variables at a fixed distance from the thread pointer.
struct StaticTls {
  size_t module;  // glibc's number, in use again after a dlclose
  uintptr_t base;
  const void* image;
  size_t image_size, size;
};

constexpr int kMaximumModules = 1024;
struct Modules {
  StaticTls entry[kMaximumModules];
  int count = 0;

  bool has(const StaticTls& other) const {
    for (int i = 0; i < count; ++i) {
      if (entry[i].module == other.module && entry[i].base == other.base) return true;
    }
    return false;
  }
  bool add(const StaticTls& module) {
    if (count == kMaximumModules) return false;
    entry[count++] = module;
    return true;
  }
};

SpinLock g_lock;
Modules g_initialised;  // since they were loaded, by one of several calls at the same time

// Without the flag it gets a part of what glibc has to spare there, if it is small enough
// (glibc.rtld.optional_static_tls and what is left of the rest).
constexpr size_t kMostToSpare = 4096;

bool wants_static_tls(const dl_phdr_info* info, int dynamic) {
  const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(info->dlpi_addr + info->dlpi_phdr[dynamic].p_vaddr);
  for (; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_FLAGS) return (entry->d_un.d_val & DF_STATIC_TLS) != 0;
  }
  return false;
}

int collect(dl_phdr_info* info, size_t, void* modules) {
  int tls = -1, dynamic = -1;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type == PT_TLS) tls = i;
    if (info->dlpi_phdr[i].p_type == PT_DYNAMIC) dynamic = i;
  }
  if (tls < 0 || dynamic < 0 || info->dlpi_tls_modid == 0) return 0;
  const ElfW(Phdr)& segment = info->dlpi_phdr[tls];
  if (segment.p_memsz > kMostToSpare && !wants_static_tls(info, dynamic)) return 0;
  static_cast<Modules*>(modules)->add({info->dlpi_tls_modid, info->dlpi_addr,
                                       reinterpret_cast<const void*>(info->dlpi_addr + segment.p_vaddr),
                                       segment.p_filesz, segment.p_memsz});
  return 0;
}

struct Initialisation {
  StaticTls module;
  size_t distance;   // from the thread pointer down to the module's block
  uint64_t last_id;  // coroutines made later have it from _dl_allocate_tls
};

void initialise(Coroutine* coroutine, void* context) {
  const auto* what = static_cast<const Initialisation*>(context);
  CoroutineState state = coroutine->state.load(std::memory_order_acquire);
  if (coroutine->id > what->last_id || state == CoroutineState::finished || coroutine->fs_base == 0) return;
  char* block = reinterpret_cast<char*>(coroutine->fs_base - what->distance);
  memcpy(block, what->module.image, what->module.image_size);
  memset(block + what->module.image_size, 0, what->module.size - what->module.image_size);
}

void initialise_everywhere(const StaticTls& module, uint64_t last_id) {
  size_t index[2] = {module.module, 0};
  uintptr_t own = reinterpret_cast<uintptr_t>(__tls_get_addr(index)), thread_pointer = current_fs_base();
  // Only where it lies in the static area, which every coroutine's block has the room of.
  if (own >= thread_pointer || thread_pointer - own > g_tcb_layout.below) return;
  {
    CriticalSection critical;
    SpinGuard guard(g_lock);
    if (g_initialised.has(module) || !g_initialised.add(module)) return;
  }
  Initialisation what{module, thread_pointer - own, last_id};
  for_each_coroutine(&initialise, &what);
}

// What was unloaded may come again.
void forget_unloaded(const Modules& loaded) {
  CriticalSection critical;
  SpinGuard guard(g_lock);
  int kept = 0;
  for (int i = 0; i < g_initialised.count; ++i) {
    if (loaded.has(g_initialised.entry[i])) g_initialised.entry[kept++] = g_initialised.entry[i];
  }
  g_initialised.count = kept;
}

// Too large for small stacks.
struct Snapshots {
  Modules before, after;
};
Snapshots* map_snapshots() {
  long memory = sys::call(SYS_mmap, nullptr, sizeof(Snapshots), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory < 0 && memory > -4096 ? nullptr : reinterpret_cast<Snapshots*>(memory);
}

template <typename Open>
void* open_and_initialise(Open&& open) {
  Snapshots* seen = map_snapshots();
  if (seen == nullptr) return open();
  for_each_module(&collect, &seen->before);
  forget_unloaded(seen->before);
  uint64_t last_id = coroutine_counts().created;
  void* handle = open();
  if (handle != nullptr) for_each_module(&collect, &seen->after);
  for (int i = 0; i < seen->after.count; ++i) {
    if (!seen->before.has(seen->after.entry[i])) initialise_everywhere(seen->after.entry[i], last_id);
  }
  sys::call(SYS_munmap, seen, sizeof(Snapshots));
  if (handle != nullptr && (g_stack_protection.load() & PROT_EXEC) == 0 && module_wants_executable_stacks()) {
    CriticalSection critical;
    elastic_make_executable();
  }
  return handle;
}

constexpr unsigned char kReturnInstruction = 0xc3;

struct ReturnSearch {
  uintptr_t caller;
  const unsigned char* found;
};
// Any byte of this value will do, also inside another instruction.
int find_return(dl_phdr_info* info, size_t, void* context) {
  auto* search = static_cast<ReturnSearch*>(context);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    const uintptr_t begin = info->dlpi_addr + segment.p_vaddr, end = begin + segment.p_memsz;
    if (segment.p_type != PT_LOAD || search->caller < begin || search->caller >= end) continue;
    if ((segment.p_flags & (PF_X | PF_R)) != (PF_X | PF_R)) return 1;
    const auto* from = reinterpret_cast<const unsigned char*>(search->caller);
    search->found = static_cast<const unsigned char*>(memchr(from, kReturnInstruction, end - search->caller));
    return 1;
  }
  return 0;
}
const void* return_in_code_of(const void* caller) {
  ReturnSearch search{reinterpret_cast<uintptr_t>(caller), nullptr};
  for_each_module(&find_return, &search);
  return search.found;
}

bool needs_caller(const char* file) {
  return strchr(file, '/') == nullptr || strchr(file, '$') != nullptr;
}
bool is_ours(const char* file, const void* caller) {
  return runtime_started() && file != nullptr &&
         (!needs_caller(file) || return_in_code_of(caller) != nullptr);
}

// function(a, b, c), which finds `caller` as its return address: a `ret`.
extern "C" __attribute__((visibility("hidden"))) void* coshim_call_as(uintptr_t a, uintptr_t b, uintptr_t c,
                                                                      void* function, const void* caller);
__asm__(
    ".pushsection .text\n.p2align 4\n.type coshim_call_as, @function\ncoshim_call_as:\n.cfi_startproc\n"
    "endbr64\n"
    "pushq %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset rbp, 0\n"
    "movq %rsp, %rbp\n.cfi_def_cfa_register rbp\n"
    "subq $8, %rsp\n"  // so that the stack is aligned as at a call
    "leaq 1f(%rip), %rax\n"
    "pushq %rax\n"
    "pushq %r8\n"
    "jmp *%rcx\n"
    "1: leave\n.cfi_def_cfa rsp, 8\n"
    "ret\n.cfi_endproc\n.size coshim_call_as, . - coshim_call_as\n.popsection\n");

// These are entered by a jump: their return address is the program's.
void* open_here(const char* file, int mode) {
  const void* caller = __builtin_return_address(0);
  return open_and_initialise([&] {
    if (!needs_caller(file)) return real::dlopen(file, mode);
    return coshim_call_as(reinterpret_cast<uintptr_t>(file), static_cast<uintptr_t>(mode), 0,
                          reinterpret_cast<void*>(real::dlopen), return_in_code_of(caller));
  });
}
void* open_there(Lmid_t list, const char* file, int mode) {
  const void* caller = __builtin_return_address(0);
  return open_and_initialise([&] {
    if (!needs_caller(file)) return real::dlmopen(list, file, mode);
    return coshim_call_as(static_cast<uintptr_t>(list), reinterpret_cast<uintptr_t>(file),
                          static_cast<uintptr_t>(mode), reinterpret_cast<void*>(real::dlmopen),
                          return_in_code_of(caller));
  });
}

template <typename Row>
void* real_function() {
  using Function = std::remove_reference_t<decltype(Row::slot())>;
  static std::atomic<void*> found{
      nullptr};  // not the slot: at its first call it resolves, and stands on the stack
  void* function = found.load(std::memory_order_relaxed);
  if (function == nullptr) {
    function = resolve_real(Row::kName, Row::kVersion);
    Row::slot() = reinterpret_cast<Function>(function);
    found.store(function, std::memory_order_relaxed);
  }
  return function;
}

}  // namespace

// Where the stubs below jump to.
extern "C" __attribute__((visibility("hidden"), used)) void* coshim_dlopen_target(const char* file, int, long,
                                                                                  const void* caller) {
  void* function = real_function<real::row_dlopen>();
  return is_ours(file, caller) ? reinterpret_cast<void*>(&open_here) : function;
}
extern "C" __attribute__((visibility("hidden"), used)) void* coshim_dlmopen_target(Lmid_t, const char* file,
                                                                                   int, const void* caller) {
  void* function = real_function<real::row_dlmopen>();
  return is_ours(file, caller) ? reinterpret_cast<void*>(&open_there) : function;
}

#define COSHIM_PASS_ON(name)                                                             \
  __asm__(".pushsection .text\n.p2align 4\n.globl coshim_" #name "\n.type coshim_" #name \
          ", @function\ncoshim_" #name                                                   \
          ":\n.cfi_startproc\n"                                                          \
          "endbr64\n"                                                                    \
          "pushq %rdi\n.cfi_adjust_cfa_offset 8\n"                                       \
          "pushq %rsi\n.cfi_adjust_cfa_offset 8\n"                                       \
          "pushq %rdx\n.cfi_adjust_cfa_offset 8\n"                                       \
          "movq 24(%rsp), %rcx\n"                                                        \
          "call coshim_" #name                                                           \
          "_target\n"                                                                    \
          "popq %rdx\n.cfi_adjust_cfa_offset -8\n"                                       \
          "popq %rsi\n.cfi_adjust_cfa_offset -8\n"                                       \
          "popq %rdi\n.cfi_adjust_cfa_offset -8\n"                                       \
          "jmp *%rax\n.cfi_endproc\n.size coshim_" #name ", . - coshim_" #name "\n.popsection\n");
COSHIM_PASS_ON(dlopen)
COSHIM_PASS_ON(dlmopen)

}  // namespace coshim

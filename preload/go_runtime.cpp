#include "preload/go_runtime.h"

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

#include <atomic>

#include "runtime/thread/loaded_modules.h"

namespace coshim {

namespace {

constexpr uint32_t kGoBuildId = 4;  // a note of the owner "Go" (go/src/cmd/internal/buildid)
constexpr size_t kNoteAlign = 4;

size_t aligned(size_t size) {
  return (size + kNoteAlign - 1) & ~(kNoteAlign - 1);
}

bool has_go_note(const dl_phdr_info* module, const ElfW(Phdr) & segment) {
  if (segment.p_type != PT_NOTE || segment.p_align > kNoteAlign) return false;
  const char* at = reinterpret_cast<const char*>(module->dlpi_addr + segment.p_vaddr);
  const char* end = at + segment.p_memsz;
  while (at + sizeof(ElfW(Nhdr)) <= end) {
    const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
    const char* name = at + sizeof(*note);
    size_t rest = aligned(note->n_namesz) + aligned(note->n_descsz);
    if (rest > static_cast<size_t>(end - name)) return false;
    if (note->n_type == kGoBuildId && note->n_namesz >= 2 && memcmp(name, "Go", 2) == 0) return true;
    at = name + rest;
  }
  return false;
}

bool built_by_go(const dl_phdr_info* module) {
  for (int i = 0; i < module->dlpi_phnum; ++i) {
    if (has_go_note(module, module->dlpi_phdr[i])) return true;
  }
  return false;
}

bool contains(const dl_phdr_info* module, uintptr_t address) {
  for (int i = 0; i < module->dlpi_phnum; ++i) {
    const auto& segment = module->dlpi_phdr[i];
    if (segment.p_type == PT_LOAD && address - module->dlpi_addr - segment.p_vaddr < segment.p_memsz)
      return true;
  }
  return false;
}

struct Question {
  uintptr_t address;
  bool program_seen, is_go;
};

// The first module is the program.
int ask(dl_phdr_info* module, size_t, void* context) {
  auto* question = static_cast<Question*>(context);
  bool relevant = !question->program_seen || contains(module, question->address);
  question->program_seen = true;
  if (relevant && built_by_go(module)) question->is_go = true;
  return question->is_go ? 1 : 0;
}

// Start routines that were asked about and are not Go's: programs have few.
constexpr unsigned kAnswers = 16;
std::atomic<uintptr_t> g_others[kAnswers];

}  // namespace

bool belongs_to_go(void* (*start_routine)(void*)) {
  auto address = reinterpret_cast<uintptr_t>(start_routine);
  auto& known = g_others[(address >> 4) % kAnswers];
  if (__builtin_expect(known.load(std::memory_order_relaxed) == address, 1)) return false;
  Question question{address, false, false};
  for_each_module(&ask, &question);
  if (!question.is_go) known.store(address, std::memory_order_relaxed);
  return question.is_go;
}

}  // namespace coshim

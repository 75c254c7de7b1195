#include "runtime/diag/modules.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "runtime/base/system_call.h"
#include "runtime/diag/line_table.h"
#include "runtime/thread/loaded_modules.h"

namespace coshim {

void* map_zeroed(size_t size) {
  long result =
      sys::call(SYS_mmap, nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return result < 0 && result > -4096 ? nullptr : reinterpret_cast<void*>(result);
}

void unmap(const void* memory, size_t size) {
  if (memory != nullptr) sys::call(SYS_munmap, memory, size);
}

const char* Module::name() const {
  const char* slash = strrchr(path, '/');
  return slash != nullptr ? slash + 1 : path;
}

Modules::Modules() : modules_(static_cast<Module*>(map_zeroed(sizeof(Module) * kMaximumModules))) {
  if (modules_ != nullptr) for_each_module(&Modules::add, this);
}

Modules::~Modules() {
  for (size_t i = 0; i < count_; ++i) {
    unmap(modules_[i].image, modules_[i].image_size);
    unmap(modules_[i].lines, modules_[i].line_capacity * sizeof(LineSequence));
  }
  unmap(modules_, sizeof(Module) * kMaximumModules);
}

int Modules::add(dl_phdr_info* info, size_t, void* self_pointer) {
  auto* self = static_cast<Modules*>(self_pointer);
  if (self->count_ == kMaximumModules) return 1;
  Module& module = self->modules_[self->count_++];
  module.base = info->dlpi_addr;
  module.low = ~uintptr_t{0};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    uintptr_t low = info->dlpi_addr + segment.p_vaddr, high = low + segment.p_memsz;
    if (segment.p_type == PT_LOAD) {
      if (low < module.low) module.low = low;
      if (high > module.high) module.high = high;
    } else if (segment.p_type == PT_GNU_EH_FRAME) {
      module.frame_header = reinterpret_cast<const unsigned char*>(low);
    } else if (segment.p_type == PT_NOTE && module.note == nullptr) {
      module.note = reinterpret_cast<const unsigned char*>(low);
      module.note_size = segment.p_filesz;
      module.note_offset = segment.p_offset;
    }
  }
  const char* name = info->dlpi_name;
  if (name == nullptr || name[0] == '\0') {
    long length = sys::call(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", module.path, sizeof(module.path) - 1);
    module.path[length > 0 ? length : 0] = '\0';
  } else {
    strncpy(module.path, name, sizeof(module.path) - 1);
  }
  return 0;
}

Module* Modules::find(uintptr_t address) {
  if (last_ != nullptr && address >= last_->low && address < last_->high) return last_;
  for (size_t i = 0; i < count_; ++i) {
    if (address >= modules_[i].low && address < modules_[i].high) return last_ = &modules_[i];
  }
  return nullptr;
}

bool Modules::open(Module* module) {
  if (module->opened) return module->image != nullptr;
  module->opened = true;
  long fd = sys::call(SYS_openat, AT_FDCWD, module->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0) return false;
  struct stat status {};
  long image = -1;
  if (sys::call(SYS_fstat, fd, &status) == 0 && S_ISREG(status.st_mode) &&
      status.st_size > static_cast<off_t>(sizeof(ElfW(Ehdr)))) {
    image = sys::call(SYS_mmap, nullptr, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  }
  sys::close(static_cast<int>(fd));
  if (image < 0 && image > -4096) return false;
  const auto* bytes = reinterpret_cast<const unsigned char*>(image);
  auto size = static_cast<size_t>(status.st_size);
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(bytes);
  bool good = memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_shentsize == sizeof(ElfW(Shdr)) &&
              header->e_shoff <= size && header->e_shnum <= (size - header->e_shoff) / sizeof(ElfW(Shdr));
  // Replaced on disk since it was loaded: names from there would be wrong ones.
  if (good && module->note != nullptr) {
    good = module->note_offset <= size && module->note_size <= size - module->note_offset &&
           memcmp(module->note, bytes + module->note_offset, module->note_size) == 0;
  }
  if (!good) {
    unmap(bytes, size);
    return false;
  }
  module->image = bytes;
  module->image_size = size;
  return true;
}

FilePart find_section(const Module* module, const char* name, uint32_t type, const ElfW(Shdr) * *found) {
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(module->image);
  const auto* sections = reinterpret_cast<const ElfW(Shdr)*>(module->image + header->e_shoff);
  if (header->e_shstrndx >= header->e_shnum) return {nullptr, 0};
  const ElfW(Shdr)& names = sections[header->e_shstrndx];
  for (int i = 0; i < header->e_shnum; ++i) {
    const ElfW(Shdr)& section = sections[i];
    if (section.sh_type == SHT_NOBITS || (section.sh_flags & SHF_COMPRESSED) != 0 ||
        section.sh_offset > module->image_size || section.sh_size > module->image_size - section.sh_offset) {
      continue;
    }
    if (name == nullptr) {
      if (section.sh_type != type) continue;
    } else {
      size_t length = strlen(name) + 1, place = names.sh_offset + section.sh_name;
      if (section.sh_name >= names.sh_size || place + length > module->image_size ||
          memcmp(module->image + place, name, length) != 0) {
        continue;
      }
    }
    if (found != nullptr) *found = &section;
    return {module->image + section.sh_offset, section.sh_size};
  }
  return {nullptr, 0};
}

}  // namespace coshim

#include "runtime/diag/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "runtime/base/log.h"
#include "runtime/base/system_call.h"

namespace coshim {

namespace {

void* map_pages(size_t size) {
  long result =
      sys::call(SYS_mmap, nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return result < 0 && result > -4096 ? nullptr : reinterpret_cast<void*>(result);
}

// _ZN5space4nameE... -> space::name. Anything else of the mangling (templates, operators) ends it; then the
// mangled name stays.
bool demangle_nested(const char* mangled, char* out, size_t size) {
  if (strncmp(mangled, "_Z", 2) != 0) return false;
  const char* p = mangled + 2;
  if (*p == 'L') ++p;
  bool nested = *p == 'N';
  if (nested) ++p;
  while (nested && (*p == 'K' || *p == 'V' || *p == 'r')) ++p;
  size_t length = 0;
  bool any = false;
  while (*p >= '1' && *p <= '9') {
    size_t count = 0;
    while (*p >= '0' && *p <= '9') count = count * 10 + static_cast<size_t>(*p++ - '0');
    if (strnlen(p, count) < count || length + count + 3 > size) return false;
    if (any) {
      out[length++] = ':';
      out[length++] = ':';
    }
    const char* anonymous = "_GLOBAL__N_1";
    if (count == strlen(anonymous) && strncmp(p, anonymous, count) == 0) {
      length -= any ? 2 : 0;
    } else {
      memcpy(out + length, p, count);
      length += count;
      any = true;
    }
    p += count;
    if (!nested) break;
  }
  out[length] = '\0';
  return any && (!nested || *p == 'E');
}

const char* base_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash != nullptr ? slash + 1 : path;
}

}  // namespace

SymbolTable::SymbolTable() : modules_(static_cast<Module*>(map_pages(sizeof(Module) * kMaximumModules))) {
  if (modules_ != nullptr) dl_iterate_phdr(&SymbolTable::add_module, this);
}

SymbolTable::~SymbolTable() {
  for (size_t i = 0; i < count_; ++i) {
    if (modules_[i].image != nullptr) sys::call(SYS_munmap, modules_[i].image, modules_[i].image_size);
  }
  if (modules_ != nullptr) sys::call(SYS_munmap, modules_, sizeof(Module) * kMaximumModules);
}

int SymbolTable::add_module(dl_phdr_info* info, size_t, void* self_pointer) {
  auto* self = static_cast<SymbolTable*>(self_pointer);
  if (self->count_ == kMaximumModules) return 1;
  Module& module = self->modules_[self->count_++];
  module.base = info->dlpi_addr;
  module.low = ~uintptr_t{0};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD) continue;
    uintptr_t low = info->dlpi_addr + segment.p_vaddr, high = low + segment.p_memsz;
    if (low < module.low) module.low = low;
    if (high > module.high) module.high = high;
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

void SymbolTable::open(Module& module) {
  module.opened = true;
  long fd = sys::call(SYS_openat, AT_FDCWD, module.path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return;
  struct stat status {};
  long image = -1;
  if (sys::call(SYS_fstat, fd, &status) == 0 && status.st_size > static_cast<off_t>(sizeof(ElfW(Ehdr)))) {
    image = sys::call(SYS_mmap, nullptr, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  }
  sys::close(static_cast<int>(fd));
  if (image < 0 && image > -4096) return;
  module.image = reinterpret_cast<const unsigned char*>(image);
  module.image_size = static_cast<size_t>(status.st_size);
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(module.image);
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_shentsize != sizeof(ElfW(Shdr)) ||
      header->e_shoff + header->e_shnum * sizeof(ElfW(Shdr)) > module.image_size) {
    return;
  }
  const auto* sections = reinterpret_cast<const ElfW(Shdr)*>(module.image + header->e_shoff);
  constexpr int kTables[] = {SHT_SYMTAB, SHT_DYNSYM};
  for (int wanted : kTables) {
    for (int i = 0; i < header->e_shnum; ++i) {
      const ElfW(Shdr)& section = sections[i];
      if (static_cast<int>(section.sh_type) != wanted || section.sh_link >= header->e_shnum) continue;
      const ElfW(Shdr)& strings = sections[section.sh_link];
      if (section.sh_offset + section.sh_size > module.image_size ||
          strings.sh_offset + strings.sh_size > module.image_size || strings.sh_size == 0) {
        continue;
      }
      module.symbols = module.image + section.sh_offset;
      module.symbol_count = section.sh_size / sizeof(ElfW(Sym));
      module.names = reinterpret_cast<const char*>(module.image + strings.sh_offset);
      module.names_size = strings.sh_size;
      return;
    }
  }
}

void SymbolTable::look_up(uintptr_t address, Symbol* symbol) {
  *symbol = Symbol{};
  symbol->module = "";
  for (size_t i = 0; i < count_; ++i) {
    Module& module = modules_[i];
    if (address < module.low || address >= module.high) continue;
    symbol->module = module.path;
    symbol->module_offset = address - module.base;
    if (!module.opened) open(module);
    const auto* symbols = static_cast<const ElfW(Sym)*>(module.symbols);
    const ElfW(Sym)* best = nullptr;
    for (size_t k = 0; k < module.symbol_count; ++k) {
      const ElfW(Sym)& candidate = symbols[k];
      if (ELF64_ST_TYPE(candidate.st_info) != STT_FUNC || candidate.st_shndx == SHN_UNDEF) continue;
      if (candidate.st_value > symbol->module_offset || candidate.st_name >= module.names_size) continue;
      if (candidate.st_size != 0 && symbol->module_offset >= candidate.st_value + candidate.st_size) continue;
      if (best == nullptr || candidate.st_value > best->st_value) best = &candidate;
    }
    if (best != nullptr) {
      const char* name = module.names + best->st_name;
      if (!demangle_nested(name, symbol->name, sizeof(symbol->name))) {
        strncpy(symbol->name, name, sizeof(symbol->name) - 1);
        symbol->name[sizeof(symbol->name) - 1] = '\0';
      }
      symbol->offset = symbol->module_offset - best->st_value;
    }
    return;
  }
}

size_t format_symbol(char* buffer, size_t size, const Symbol& symbol) {
  if (symbol.name[0] != '\0') {
    return format_text(buffer, size, "%s+0x%lx (%s)", symbol.name, symbol.offset, base_name(symbol.module));
  }
  if (symbol.module[0] != '\0') {
    return format_text(buffer, size, "%s+0x%lx", base_name(symbol.module), symbol.module_offset);
  }
  return format_text(buffer, size, "?");
}

}  // namespace coshim

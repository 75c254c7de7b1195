#include "runtime/diag/symbols.h"

#include <string.h>

#include "runtime/base/log.h"
#include "runtime/diag/line_table.h"

namespace coshim {

namespace {

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

// The outer half of a hook, where addresses that it gets are brought back (preload/reach.cpp), is an instance
// of a template for the row of the hook's name: coshim_NAME.
bool name_of_reach(const char* mangled, char* out, size_t size) {
  const char* row = strstr(mangled, "row_");
  if (row == nullptr || strstr(mangled, "ReachCall") == nullptr) return false;
  const char* digits = row;
  while (digits > mangled && digits[-1] >= '0' && digits[-1] <= '9') --digits;
  size_t length = 0;
  for (; digits < row; ++digits) length = length * 10 + static_cast<size_t>(*digits - '0');
  constexpr size_t kPrefix = 4;
  if (length <= kPrefix || strnlen(row, length) < length || length + kPrefix > size) return false;
  memcpy(out, "coshim_", 7);
  memcpy(out + 7, row + kPrefix, length - kPrefix);
  out[7 + length - kPrefix] = '\0';
  return true;
}

const char* base_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash != nullptr ? slash + 1 : path;
}

void read_symbols(Module* module) {
  constexpr uint32_t kTables[] = {SHT_SYMTAB, SHT_DYNSYM};
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(module->image);
  const auto* sections = reinterpret_cast<const ElfW(Shdr)*>(module->image + header->e_shoff);
  for (uint32_t table : kTables) {
    const ElfW(Shdr)* section = nullptr;
    FilePart symbols = find_section(module, nullptr, table, &section);
    if (symbols.data == nullptr || section->sh_link >= header->e_shnum) continue;
    const ElfW(Shdr)& strings = sections[section->sh_link];
    if (strings.sh_size == 0 || strings.sh_offset > module->image_size ||
        strings.sh_size > module->image_size - strings.sh_offset ||
        module->image[strings.sh_offset + strings.sh_size - 1] != 0) {
      continue;
    }
    module->symbols = reinterpret_cast<const ElfW(Sym)*>(symbols.data);
    module->symbol_count = symbols.size / sizeof(ElfW(Sym));
    module->names = reinterpret_cast<const char*>(module->image + strings.sh_offset);
    module->names_size = strings.sh_size;
    return;
  }
}

const ElfW(Sym) * find_symbol(const Module* module, uintptr_t offset) {
  const ElfW(Sym)* best = nullptr;
  for (size_t i = 0; i < module->symbol_count; ++i) {
    const ElfW(Sym)& candidate = module->symbols[i];
    auto type = ELF64_ST_TYPE(candidate.st_info);
    if ((type != STT_FUNC && type != STT_GNU_IFUNC) || candidate.st_shndx == SHN_UNDEF) continue;
    if (candidate.st_value > offset || candidate.st_name >= module->names_size) continue;
    if (candidate.st_size != 0 && offset >= candidate.st_value + candidate.st_size) continue;
    if (best == nullptr || candidate.st_value > best->st_value) best = &candidate;
  }
  return best;
}

}  // namespace

SymbolTable::SymbolTable(Modules* modules)
    : modules_(modules), cache_(static_cast<Known*>(map_zeroed(kCached * sizeof(Known)))) {}

SymbolTable::~SymbolTable() {
  unmap(cache_, kCached * sizeof(Known));
}

void SymbolTable::find(uintptr_t address, Symbol* symbol) {
  *symbol = Symbol{};
  symbol->module = "";
  Module* module = modules_->find(address);
  if (module == nullptr) return;
  symbol->module = module->path;
  symbol->module_offset = address - module->base;
  bool first = !module->opened;
  if (!modules_->open(module)) return;
  if (first) read_symbols(module);
  const ElfW(Sym)* best = find_symbol(module, symbol->module_offset);
  if (best != nullptr) {
    const char* name = module->names + best->st_name;
    if (!name_of_reach(name, symbol->name, sizeof(symbol->name)) &&
        !demangle_nested(name, symbol->name, sizeof(symbol->name))) {
      strncpy(symbol->name, name, sizeof(symbol->name) - 1);
      symbol->name[sizeof(symbol->name) - 1] = '\0';
    }
    symbol->offset = symbol->module_offset - best->st_value;
  }
  SourceLine line;
  if (!find_source_line(module, symbol->module_offset, &line)) return;
  memcpy(symbol->file, line.file, sizeof(symbol->file));
  symbol->line = line.line;
}

const Symbol& SymbolTable::look_up(uintptr_t address) {
  if (cache_ == nullptr) {
    find(address, &uncached_);
    return uncached_;
  }
  Known& known = cache_[address * 0x9E3779B97F4A7C15U >> 54];
  static_assert(kCached == 1 << (64 - 54), "the hash gives an index");
  if (known.address != address || known.symbol.module == nullptr) {
    find(address, &known.symbol);
    known.address = address;
  }
  return known.symbol;
}

size_t format_symbol(char* buffer, size_t size, const Symbol& symbol) {
  if (symbol.name[0] == '\0') {
    if (symbol.module[0] == '\0') return format_text(buffer, size, "?");
    return format_text(buffer, size, "%s+0x%lx", base_name(symbol.module), symbol.module_offset);
  }
  size_t length = format_text(buffer, size, "%s+0x%lx", symbol.name, symbol.offset);
  if (symbol.line != 0) {
    length += format_text(buffer + length, size - length, " at %s:%u", symbol.file, symbol.line);
  }
  return length + format_text(buffer + length, size - length, " (%s)", base_name(symbol.module));
}

}  // namespace coshim

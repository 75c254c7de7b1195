// Names for addresses: from .symtab (local static functions too) or .dynsym of the file that is mapped there.
// Files are mapped read-only on demand and stay mapped. Not thread-safe: the dump and the overflow report use
// one SymbolTable each. No malloc.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct dl_phdr_info;

namespace coshim {

struct Symbol {
  char name[160];    // demangled as far as nested names go; empty: unknown
  uintptr_t offset;  // from the symbol's start
  const char*
      module;  // path of the file; empty for the program itself is replaced by /proc/self/exe's target
  uintptr_t module_offset;
};

class SymbolTable {
 public:
  SymbolTable();  // takes the list of loaded modules (dl_iterate_phdr)
  ~SymbolTable();
  SymbolTable(const SymbolTable&) = delete;
  SymbolTable& operator=(const SymbolTable&) = delete;
  void look_up(uintptr_t address, Symbol* symbol);

 private:
  struct Module {
    uintptr_t base, low, high;
    char path[200];
    bool opened;
    const unsigned char* image;
    size_t image_size;
    const void* symbols;
    size_t symbol_count;
    const char* names;
    size_t names_size;
  };
  static constexpr size_t kMaximumModules = 256;
  static int add_module(dl_phdr_info* info, size_t size, void* self);
  void open(Module& module);

  Module* modules_;
  size_t count_ = 0;
};

// "name+0x12 (libfoo.so)" or "libfoo.so+0x1234"; returns the length.
size_t format_symbol(char* buffer, size_t size, const Symbol& symbol);

}  // namespace coshim

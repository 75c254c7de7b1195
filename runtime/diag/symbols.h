// Names for addresses: from .symtab (local static functions too) or .dynsym, and file and line from
// .debug_line, of the file that is mapped there. One owner, one thread: the dump and the overflow report have
// one each. No malloc.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "runtime/diag/modules.h"

namespace coshim {

constexpr size_t kSymbolText = 800;  // for format_symbol(), and room in a line of Output

struct Symbol {
  char name[480];      // demangled as far as nested names go; empty: unknown
  uintptr_t offset;    // from the symbol's start
  const char* module;  // path of the file; empty: none
  uintptr_t module_offset;
  char file[200];  // empty: unknown
  unsigned line;
};

class SymbolTable {
 public:
  explicit SymbolTable(Modules* modules);
  ~SymbolTable();
  SymbolTable(const SymbolTable&) = delete;
  SymbolTable& operator=(const SymbolTable&) = delete;
  // Valid until the next look_up().
  const Symbol& look_up(uintptr_t address);

 private:
  struct Known {
    uintptr_t address;
    Symbol symbol;
  };
  void find(uintptr_t address, Symbol* symbol);

  static constexpr size_t kCached = 1024;
  Modules* modules_;
  Known* cache_;
  Symbol uncached_;
};

// "name+0x12 at file.c:34 (libfoo.so)", or "libfoo.so+0x1234"; returns the length.
size_t format_symbol(char* buffer, size_t size, const Symbol& symbol);

}  // namespace coshim

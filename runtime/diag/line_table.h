// File and line of an address, from a module's .debug_line (DWARF 4 and 5), where it is there and not
// compressed.
#pragma once

#include "runtime/diag/modules.h"

namespace coshim {

// A run of addresses that one line program describes in rising order.
struct LineSequence {
  uint64_t low, high;            // addresses of the file
  const unsigned char* unit;     // the program's header
  const unsigned char* program;  // where the sequence begins in it
};

struct SourceLine {
  char file[200];  // as the compiler was given it, the directory first
  unsigned line;
};

// `address` is the file's (module offset). False: unknown.
bool find_source_line(Module* module, uint64_t address, SourceLine* line);

}  // namespace coshim

// System calls that a program makes without libc, which no hook sees: the `syscall` instruction in its own
// code.
#pragma once

#include <map>
#include <string>

#include "tools/elf_file.h"

namespace coshim::tools {

// Calls that can wait, by name, with the number of places. A guess from the bytes: `syscall` with its number
// put into eax shortly before; a number that comes from elsewhere is not seen.
std::map<std::string, int> inline_waiting_calls(const ElfFile& file);

}  // namespace coshim::tools

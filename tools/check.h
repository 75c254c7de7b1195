// Will a program run under the shim?
#pragma once

#include <string>

namespace coshim::tools {

// Why the preload cannot reach `program` (a path, or a name looked up in PATH) or must not act in it; empty:
// it can, or nothing could be read. Looks at the program's file alone: quick.
std::string why_not_preloaded(const std::string& program);

// A program as execvp(3) finds it; the name itself where there is none.
std::string find_program(const std::string& name);
// An ELF file, whatever it is for.
bool is_elf_program(const std::string& path);

}  // namespace coshim::tools

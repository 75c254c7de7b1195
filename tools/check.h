// Will a program run under the shim?
#pragma once

#include <string>

namespace coshim::tools {

// Why the preload cannot reach `program` (a path, or a name looked up in PATH) or must not act in it; empty:
// it can, or nothing could be read. Looks at the program's file alone: quick.
std::string why_not_preloaded(const std::string& program);

}  // namespace coshim::tools

// Whether what is mapped, and not only what is touched, counts against a limit.
#pragma once

namespace coshim {

// RLIMIT_AS, RLIMIT_DATA (setrlimit(2)), or vm.overcommit_memory=2 (proc(5)), under which MAP_NORESERVE has
// no effect.
bool mapped_memory_is_limited();
// RLIMIT_DATA: memory that is made read-only may not become writable again.
bool writable_memory_is_limited();

}  // namespace coshim

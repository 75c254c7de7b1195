// Other libraries that replace libc's functions too (proxychains, torsocks, libfaketime, ...) and stand
// behind ours in LD_PRELOAD.
#pragma once

namespace coshim {

// After resolve_all() and reach_start(): where such a library has a function that waits for descriptors or
// time, what the exported name leads to.
void next_library_start();

}  // namespace coshim

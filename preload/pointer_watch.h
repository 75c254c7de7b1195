// The debug aid for stack mode shared (COSHIM_LOG=debug): a local variable's address is good only while its
// owner runs, so a pointer into a shared stack that reaches a hook from somebody else is a fault of the
// program in this mode. Each kind is reported once. Costs nothing when it is off: the exported names lead
// past it.
#pragma once

namespace coshim {

// With shared stacks and COSHIM_LOG=debug, what the exported names of hooks lead to.
void pointer_watch_start();

}  // namespace coshim

#pragma once

// Switches `swaps` times between two contexts of this kernel thread by nothing but the register swap and the
// FS base: no queue, no bookkeeping. What a switch between two coroutines is measured against.
void run_bare_swaps(long swaps);

// Cold blocks: where saved stacks keep no page tables either (DESIGN §4, elastic).
//
// A saved stack is a few guards (pager.h), and guards live in a page table. Small stacks share one; of stacks
// of 8 MiB, the usual default, each has its own, 4 KiB for what is 1.6 KB saved. So neighbouring slots form
// blocks, and when all of a block's stacks have been saved for long, the block is closed: inaccessible as one
// mapping (PROT_NONE), without guards, so that the kernel frees its page tables (Linux 6.14 on x86-64; before
// it nothing is gained, and nothing lost). Whoever brings one of its stacks back opens the block first: the
// guards return, then the access. A touch faults in both states, and is answered alike.
//
//   saved stacks   | guard ........ GG | guard ........ GG |      accessible, G guards in place of pages
//   closed block   | ..................................... |      PROT_NONE, nothing there
//
// Blocks, not single slots: each boundary between what is accessible and what is not is a mapping, and
// vm.max_map_count limits those. There are so few blocks that all of them may alternate.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace coshim {

struct StackSlot;

// How many slots of this size form a block, where so many slots are there already; 0: none do, their page
// tables are shared as it is.
size_t slots_of_a_block(size_t slot_size, size_t slots_so_far);

struct ColdScan {
  size_t closed;     // blocks, now
  size_t remaining;  // blocks all of whose stacks are saved, but not for long enough yet
};
// The saver's: closes what has been saved for `age` ticks.
ColdScan close_cold_blocks(uint64_t now, uint64_t age);

// Between the decision to bring a slot's pages back (Residency::restoring) and doing so. Async-signal-safe.
void open_block_of(const StackSlot* slot);

// All blocks are open while one of these lives, so that what lies under them may be changed.
class AllBlocksOpen {
 public:
  AllBlocksOpen();
  ~AllBlocksOpen();
  AllBlocksOpen(const AllBlocksOpen&) = delete;
  AllBlocksOpen& operator=(const AllBlocksOpen&) = delete;
};

// Opens all blocks and closes none any more.
void never_close_blocks();

// How many are closed.
size_t closed_blocks();

// No block is half closed in the child of a fork().
void lock_blocks_for_fork();
void unlock_blocks_after_fork(bool child);

}  // namespace coshim

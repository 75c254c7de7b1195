// What a debugger needs to find the coroutines of a process or a core file without debug information
// (tools/gdb). One table, exported as coshim_debugger, so that it is found in a stripped library too. All
// offsets are in bytes.
#pragma once

#include <stdint.h>

namespace coshim {

struct PoolLayout;

constexpr uint32_t kDebuggerInterface = 1;

struct DebuggerInterface {
  uint32_t version;  // kDebuggerInterface; a change that is not an addition at the end raises it
  uint32_t size;     // of this table

  // Records of coroutines lie in blocks: a list, each with an array.
  const PoolLayout* pool;
  uint32_t record_size;
  // In a record.
  uint32_t state;        // 1 byte: index into state_names; 0: no coroutine
  uint32_t residency;    // 1 byte: 0 or 1: its stack is in its place
  uint32_t saved;        // else pointer to the compact stack (runtime/stack/compact.h)
  uint32_t wait_kind;    // 1 byte: index into wait_names; 0: none
  uint32_t wait_object;  // a word: descriptor, address, record or text
  uint32_t stack_pointer, fs_base, id, tid, name, start_routine;
  const char* const* state_names;
  uint32_t state_count;
  const char* const* wait_names;
  uint32_t wait_count;
  // What stack_pointer points at while it does not run: the offsets of r15 r14 r13 r12 rbx rbp rip, then
  // rsp's value.
  uint32_t frame[7];
  uint32_t frame_size;

  // Hidden kernel threads that run coroutines: a list.
  const void* first_worker;  // where the pointer to it is
  uint32_t worker_next, worker_tid, worker_current;
  // The compact stack: where the stretch lies, its length in pages; after the head what compact.h shows.
  uint32_t compact_low, compact_pages, compact_head;
  // In a record, for shared stacks: pointer to the stack (null: its own), to the copy of its live bytes and
  // their number, FreezeState, the ucontext_t that it was frozen in and how often it was.
  uint32_t shared_stack, saved_bytes, saved_size, frozen, frozen_context, freezes;
  // In a shared stack: whose bytes lie there, and its end.
  uint32_t stack_occupant, stack_top;
};

}  // namespace coshim

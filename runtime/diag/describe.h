// Words and pieces that the text dump, the JSON dump and the overflow report share.
#pragma once

#include "runtime/diag/output.h"
#include "runtime/diag/snapshot.h"
#include "runtime/diag/statistics.h"
#include "runtime/diag/symbols.h"

namespace coshim {

// "waiting for mutex" and so on.
const char* wait_text(WaitKind kind);
// "mutex": as the JSON has it.
const char* wait_name(WaitKind kind);
// "parked"; a running one that is blocked in a call is "blocked".
const char* state_name(const ThreadRecord& record);
bool waits_for_descriptor(WaitKind kind);
// The first descriptors of a poll; gives how many, at most `room`.
size_t polled_descriptors(const ThreadRecord& record, int* descriptors, size_t room);

// Frames of a walk, one a line, innermost first.
void print_frames(Output& out, SymbolTable* symbols, const uintptr_t* frames, size_t count);
// An address's symbol: of a return address, the call's.
const Symbol& frame_symbol(SymbolTable* symbols, const uintptr_t* frames, size_t index);

// The calls that blocked kernel threads, each line after `prefix`.
void print_blocked_calls(Output& out, const Statistics& statistics, const char* prefix);

// A name of the configuration that is in force, and its value as text. False: no more.
bool setting_in_force(size_t index, const char** name, char* value, size_t size);

void write_text_dump(Output& out, const Snapshot& snapshot, SymbolTable* symbols,
                     const Statistics& statistics, bool full);
void write_json_dump(Output& out, const Snapshot& snapshot, SymbolTable* symbols,
                     const Statistics& statistics);

}  // namespace coshim

// DWARF call frame information, as .eh_frame has it (LSB 5.0, 10.6; DWARF 5, 6.4): how to get from one
// frame's registers to its caller's. Reads the loaded modules' own tables; the stack is read through a
// StackReader, so it may be anybody's.
#pragma once

#include <stdint.h>

#include "runtime/diag/modules.h"

namespace coshim {

class StackReader;

// x86-64's DWARF numbering (psABI, figure 3.36).
constexpr int kRegisters = 17, kRbx = 3, kRbp = 6, kRsp = 7, kR12 = 12, kReturnAddress = 16;

struct Frame {
  uint64_t registers[kRegisters];  // [kReturnAddress]: where it stands
  uint32_t known;                  // a bit for each register whose value is known
};

struct RegisterRule {
  enum Kind : uint8_t { same, undefined, offset, value_offset, other_register, expression, value_expression };
  Kind kind;
  int64_t value;  // offset or register; expression: pointer to its length and bytes
};

// What holds at one address.
struct FrameRules {
  uintptr_t address;  // 0: none
  bool found, signal_frame;
  int cfa_register;  // -1: by cfa_expression
  int64_t cfa_offset;
  const unsigned char* cfa_expression;
  RegisterRule rules[kRegisters];
};

// False: no table covers it.
bool find_frame_rules(const Module* module, uintptr_t address, FrameRules* rules);
// *frame becomes its caller's. False: outermost, or it makes no sense.
bool apply_frame_rules(const FrameRules& rules, StackReader* stack, Frame* frame);

}  // namespace coshim

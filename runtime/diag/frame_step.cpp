// Applying the rules of call_frame.cpp to a frame, with the DWARF expressions that occur there: those of PLT
// entries and of signal frames.
#include "runtime/diag/byte_reader.h"
#include "runtime/diag/call_frame.h"
#include "runtime/diag/stack_reader.h"

namespace coshim {

namespace {

class ExpressionStack {
 public:
  void push(uint64_t value) {
    if (depth_ == kDepth) {
      failed_ = true;
    } else {
      values_[depth_++] = value;
    }
  }
  uint64_t pop() {
    if (depth_ == 0) {
      failed_ = true;
      return 0;
    }
    return values_[--depth_];
  }
  uint64_t top(size_t below = 0) {
    if (depth_ > below) return values_[depth_ - 1 - below];
    failed_ = true;
    return 0;
  }
  void fail() { failed_ = true; }
  bool failed() const { return failed_; }

 private:
  static constexpr size_t kDepth = 16;
  uint64_t values_[kDepth];
  size_t depth_ = 0;
  bool failed_ = false;
};

// DWARF 5, 2.5.1: the arithmetic of two operands.
void arithmetic(uint8_t code, ExpressionStack* stack) {
  uint64_t b = stack->pop(), a = stack->pop();
  auto sa = static_cast<int64_t>(a), sb = static_cast<int64_t>(b);
  switch (code) {
    case 0x1a:
      return stack->push(a & b);
    case 0x1c:
      return stack->push(a - b);
    case 0x1e:
      return stack->push(a * b);
    case 0x21:
      return stack->push(a | b);
    case 0x22:
      return stack->push(a + b);
    case 0x24:
      return stack->push(b < 64 ? a << b : 0);
    case 0x25:
      return stack->push(b < 64 ? a >> b : 0);
    case 0x26:
      return stack->push(static_cast<uint64_t>(sa >> (b < 64 ? b : 63)));
    case 0x27:
      return stack->push(a ^ b);
    case 0x29:
      return stack->push(a == b);
    case 0x2a:
      return stack->push(sa >= sb);
    case 0x2b:
      return stack->push(sa > sb);
    case 0x2c:
      return stack->push(sa <= sb);
    case 0x2d:
      return stack->push(sa < sb);
    case 0x2e:
      return stack->push(a != b);
    default:
      stack->fail();
  }
}

uint64_t constant(uint8_t code, ByteReader* reader) {
  switch (code) {
    case 0x08:
      return reader->number<uint8_t>();
    case 0x09:
      return static_cast<uint64_t>(int64_t{reader->number<int8_t>()});
    case 0x0a:
      return reader->number<uint16_t>();
    case 0x0b:
      return static_cast<uint64_t>(int64_t{reader->number<int16_t>()});
    case 0x0c:
      return reader->number<uint32_t>();
    case 0x0d:
      return static_cast<uint64_t>(int64_t{reader->number<int32_t>()});
    case 0x10:
      return reader->unsigned_leb();
    case 0x11:
      return static_cast<uint64_t>(reader->signed_leb());
    default:  // 0x03 addr, 0x0e, 0x0f
      return reader->number<uint64_t>();
  }
}

bool evaluate(const unsigned char* expression, const Frame& frame, StackReader* memory, const uint64_t* first,
              uint64_t* result) {
  ByteReader whole(expression, expression + 512);
  uint64_t size = whole.unsigned_leb();
  ByteReader reader(whole.at(), whole.at() + (size < whole.left() ? size : whole.left()));
  ExpressionStack stack;
  if (first != nullptr) stack.push(*first);
  while (!reader.done() && !stack.failed()) {
    auto code = reader.number<uint8_t>();
    if (code >= 0x30 && code <= 0x4f) {  // lit
      stack.push(code - 0x30U);
    } else if (code >= 0x70 && code <= 0x8f) {  // breg
      int64_t offset = reader.signed_leb();
      unsigned which = code - 0x70U;
      if (which >= kRegisters || (frame.known >> which & 1) == 0) return false;
      stack.push(frame.registers[which] + static_cast<uint64_t>(offset));
    } else if (code == 0x03 || (code >= 0x08 && code <= 0x11)) {
      stack.push(constant(code, &reader));
    } else if (code == 0x06) {  // deref
      uint64_t word = 0;
      if (!memory->word(stack.pop(), &word)) return false;
      stack.push(word);
    } else if (code == 0x12) {
      stack.push(stack.top());
    } else if (code == 0x13) {
      stack.pop();
    } else if (code == 0x14) {
      stack.push(stack.top(1));
    } else if (code == 0x23) {
      stack.push(stack.pop() + reader.unsigned_leb());
    } else {
      arithmetic(code, &stack);
    }
  }
  *result = stack.top();
  return !stack.failed();
}

bool canonical_frame_address(const FrameRules& rules, StackReader* memory, const Frame& frame,
                             uint64_t* cfa) {
  if (rules.cfa_register < 0) return evaluate(rules.cfa_expression, frame, memory, nullptr, cfa);
  if (rules.cfa_register >= kRegisters || (frame.known >> rules.cfa_register & 1) == 0) return false;
  *cfa = frame.registers[rules.cfa_register] + static_cast<uint64_t>(rules.cfa_offset);
  return true;
}

// False: the caller's value can't be known.
bool caller_value(const RegisterRule& rule, int which, uint64_t cfa, StackReader* memory, const Frame& frame,
                  uint64_t* value) {
  auto amount = static_cast<uint64_t>(rule.value);
  const auto* expression = reinterpret_cast<const unsigned char*>(amount);
  switch (rule.kind) {
    case RegisterRule::same:
      *value = frame.registers[which];
      return (frame.known >> which & 1) != 0;
    case RegisterRule::undefined:
      return false;
    case RegisterRule::offset:
      return memory->word(cfa + amount, value);
    case RegisterRule::value_offset:
      *value = cfa + amount;
      return true;
    case RegisterRule::other_register:
      if (amount >= kRegisters || (frame.known >> amount & 1) == 0) return false;
      *value = frame.registers[amount];
      return true;
    case RegisterRule::expression:
      return evaluate(expression, frame, memory, &cfa, value) && memory->word(*value, value);
    case RegisterRule::value_expression:
      return evaluate(expression, frame, memory, &cfa, value);
  }
  return false;
}

}  // namespace

bool apply_frame_rules(const FrameRules& rules, StackReader* stack, Frame* frame) {
  uint64_t cfa = 0;
  if (!canonical_frame_address(rules, stack, *frame, &cfa)) return false;
  if (rules.rules[kReturnAddress].kind == RegisterRule::same) return false;  // no call came here
  Frame caller{};
  for (int i = 0; i < kRegisters; ++i) {
    if (caller_value(rules.rules[i], i, cfa, stack, *frame, &caller.registers[i])) caller.known |= 1U << i;
  }
  // The stack pointer before the call, unless the frame says where it was kept (signal frames).
  if (rules.rules[kRsp].kind == RegisterRule::same) {
    caller.registers[kRsp] = cfa;
    caller.known |= 1U << kRsp;
  }
  if ((caller.known >> kReturnAddress & 1) == 0 || caller.registers[kReturnAddress] == 0) return false;
  // A stack grows down: a caller further down is another stack (of a signal handler, say) or garbage.
  bool stuck = caller.registers[kRsp] == frame->registers[kRsp] &&
               caller.registers[kReturnAddress] == frame->registers[kReturnAddress];
  *frame = caller;
  return !stuck;
}

}  // namespace coshim

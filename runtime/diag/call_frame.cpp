#include "runtime/diag/call_frame.h"

#include <string.h>

#include "runtime/diag/byte_reader.h"
#include "runtime/diag/stack_reader.h"

namespace coshim {

namespace {

// Tables in memory tell their own length: readers get the rest of the module as their end.
const unsigned char* end_of(const Module* module) {
  return reinterpret_cast<const unsigned char*>(module->high);
}

// DW_EH_PE: low four bits the form, next three what it is relative to.
uint64_t encoded(ByteReader* reader, uint8_t encoding, const Module* module) {
  auto here = reinterpret_cast<uintptr_t>(reader->at());
  uint64_t value = 0;
  switch (encoding & 15) {
    case 0:  // absptr
    case 4:
    case 12:
      value = reader->number<uint64_t>();
      break;
    case 1:
      value = reader->unsigned_leb();
      break;
    case 9:
      value = static_cast<uint64_t>(reader->signed_leb());
      break;
    case 2:
      value = reader->number<uint16_t>();
      break;
    case 10:
      value = static_cast<uint64_t>(int64_t{reader->number<int16_t>()});
      break;
    case 3:
      value = reader->number<uint32_t>();
      break;
    case 11:
      value = static_cast<uint64_t>(int64_t{reader->number<int32_t>()});
      break;
    default:
      break;
  }
  if (value == 0) return 0;
  if ((encoding & 0x70) == 0x10) value += here;
  if ((encoding & 0x70) == 0x30) value += reinterpret_cast<uintptr_t>(module->frame_header);
  return value;
}

struct Entry {  // a CIE and one of its FDEs
  uint64_t code_alignment = 1;
  int64_t data_alignment = -8;
  uint8_t encoding = 0;
  bool augmented = false, signal_frame = false;
  const unsigned char *initial = nullptr, *initial_end = nullptr;
  const unsigned char *program = nullptr, *program_end = nullptr;
  uintptr_t begin = 0;
};

bool read_common(const unsigned char* place, const Module* module, Entry* entry) {
  ByteReader reader(place, end_of(module));
  auto length = reader.number<uint32_t>();
  if (length == 0xffffffff || length > reader.left()) return false;
  entry->initial_end = reader.at() + length;
  if (reader.number<uint32_t>() != 0) return false;  // not a CIE
  auto version = reader.number<uint8_t>();
  const char* augmentation = reader.text();
  if (version != 1 && version != 3) return false;
  entry->code_alignment = reader.unsigned_leb();
  entry->data_alignment = reader.signed_leb();
  uint64_t return_register = version == 1 ? reader.number<uint8_t>() : reader.unsigned_leb();
  if (return_register != kReturnAddress) return false;
  entry->augmented = augmentation[0] == 'z';
  if (entry->augmented) {
    uint64_t size = reader.unsigned_leb();
    entry->initial = reader.at() + size;
    for (const char* p = augmentation + 1; *p != '\0'; ++p) {
      if (*p == 'R') entry->encoding = reader.number<uint8_t>();
      if (*p == 'L') reader.number<uint8_t>();
      if (*p == 'P') {
        auto encoding = reader.number<uint8_t>();
        encoded(&reader, encoding, module);
      }
      if (*p == 'S') entry->signal_frame = true;
    }
  } else {
    if (augmentation[0] != '\0') return false;
    entry->initial = reader.at();
  }
  return entry->initial <= entry->initial_end;
}

bool read_entry(const unsigned char* place, const Module* module, uintptr_t address, Entry* entry) {
  ByteReader reader(place, end_of(module));
  auto length = reader.number<uint32_t>();
  if (length == 0xffffffff || length == 0 || length > reader.left()) return false;
  entry->program_end = reader.at() + length;
  const unsigned char* here = reader.at();
  auto back = reader.number<uint32_t>();
  if (back == 0 || !read_common(here - back, module, entry)) return false;
  entry->begin = encoded(&reader, entry->encoding, module);
  uint64_t range = encoded(&reader, entry->encoding & 15, module);
  if (address < entry->begin || address - entry->begin >= range) return false;
  if (entry->augmented) {
    uint64_t size = reader.unsigned_leb();
    reader.skip(size);
  }
  entry->program = reader.at();
  return entry->program <= entry->program_end;
}

// The binary search table of .eh_frame_hdr: pairs of 32-bit distances from it, sorted (LSB 5.0, 10.6.2).
const unsigned char* find_entry(const Module* module, uintptr_t address) {
  ByteReader reader(module->frame_header, end_of(module));
  if (reader.number<uint8_t>() != 1) return nullptr;
  auto frame_encoding = reader.number<uint8_t>(), count_encoding = reader.number<uint8_t>(),
       table_encoding = reader.number<uint8_t>();
  encoded(&reader, frame_encoding, module);
  uint64_t count = encoded(&reader, count_encoding, module);
  if (table_encoding != 0x3b || count == 0 || count > reader.left() / 8) return nullptr;
  const unsigned char* table = reader.at();
  auto base = reinterpret_cast<uintptr_t>(module->frame_header);
  auto at = [&](size_t index, size_t column) {
    int32_t distance;
    memcpy(&distance, table + index * 8 + column * 4, sizeof(distance));
    return base + static_cast<uintptr_t>(int64_t{distance});
  };
  size_t low = 0, high = count;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    (at(middle, 0) <= address ? low : high) = middle;
  }
  return at(low, 0) <= address ? reinterpret_cast<const unsigned char*>(at(low, 1)) : nullptr;
}

class Interpreter {
 public:
  Interpreter(const Entry& entry, FrameRules* rules) : entry_(entry), rules_(rules) {}

  // The rules after the instructions that apply before `address`.
  void run(const unsigned char* program, const unsigned char* end, uintptr_t address) {
    ByteReader reader(program, end);
    uintptr_t location = entry_.begin;
    while (!reader.done()) {
      auto code = reader.number<uint8_t>();
      uint8_t operand = code & 63;
      switch (code >> 6) {
        case 1:  // advance_loc
          location += operand * entry_.code_alignment;
          break;
        case 2:  // offset
          set(operand, RegisterRule::offset,
              static_cast<int64_t>(reader.unsigned_leb()) * entry_.data_alignment);
          break;
        case 3:  // restore
          restore(operand);
          break;
        default:
          location += advance(code, &reader);
          extended(code, &reader);
          break;
      }
      if (location > address) return;
    }
  }
  void keep_initial() { initial_ = *rules_; }

 private:
  uint64_t advance(uint8_t code, ByteReader* reader) {
    switch (code) {
      case 2:
        return reader->number<uint8_t>() * entry_.code_alignment;
      case 3:
        return reader->number<uint16_t>() * entry_.code_alignment;
      case 4:
        return reader->number<uint32_t>() * entry_.code_alignment;
      default:
        return 0;
    }
  }

  void extended(uint8_t code, ByteReader* reader) {
    switch (code) {
      case 0x05:  // offset_extended
      case 0x11: {
        uint64_t which = reader->unsigned_leb();
        int64_t factor = code == 5 ? static_cast<int64_t>(reader->unsigned_leb()) : reader->signed_leb();
        set(which, RegisterRule::offset, factor * entry_.data_alignment);
        break;
      }
      case 0x06:
        restore(reader->unsigned_leb());
        break;
      case 0x07:
        set(reader->unsigned_leb(), RegisterRule::undefined, 0);
        break;
      case 0x08:
        set(reader->unsigned_leb(), RegisterRule::same, 0);
        break;
      case 0x09: {
        uint64_t which = reader->unsigned_leb();
        set(which, RegisterRule::other_register, static_cast<int64_t>(reader->unsigned_leb()));
        break;
      }
      case 0x0a:  // remember_state
        if (depth_ < kStates) states_[depth_] = *rules_;
        ++depth_;
        break;
      case 0x0b:  // restore_state
        if (depth_ > 0 && --depth_ < kStates) *rules_ = states_[depth_];
        break;
      case 0x0c:  // def_cfa
      case 0x12:
        rules_->cfa_register = static_cast<int>(reader->unsigned_leb());
        rules_->cfa_offset = code == 0x0c ? static_cast<int64_t>(reader->unsigned_leb())
                                          : reader->signed_leb() * entry_.data_alignment;
        break;
      case 0x0d:
        rules_->cfa_register = static_cast<int>(reader->unsigned_leb());
        break;
      case 0x0e:
        rules_->cfa_offset = static_cast<int64_t>(reader->unsigned_leb());
        break;
      case 0x13:
        rules_->cfa_offset = reader->signed_leb() * entry_.data_alignment;
        break;
      case 0x0f:  // def_cfa_expression
        rules_->cfa_register = -1;
        rules_->cfa_expression = expression(reader);
        break;
      case 0x10:
      case 0x16: {
        uint64_t which = reader->unsigned_leb();
        set(which, code == 0x10 ? RegisterRule::expression : RegisterRule::value_expression,
            static_cast<int64_t>(reinterpret_cast<uintptr_t>(expression(reader))));
        break;
      }
      case 0x14:
      case 0x15: {
        uint64_t which = reader->unsigned_leb();
        int64_t factor = code == 0x14 ? static_cast<int64_t>(reader->unsigned_leb()) : reader->signed_leb();
        set(which, RegisterRule::value_offset, factor * entry_.data_alignment);
        break;
      }
      case 0x2e:  // GNU_args_size
        reader->unsigned_leb();
        break;
      default:
        break;
    }
  }

  const unsigned char* expression(ByteReader* reader) {
    const unsigned char* start = reader->at();
    uint64_t size = reader->unsigned_leb();
    reader->skip(size);
    return start;
  }
  void set(uint64_t which, RegisterRule::Kind kind, int64_t value) {
    if (which < kRegisters) rules_->rules[which] = {kind, value};
  }
  void restore(uint64_t which) {
    if (which < kRegisters) rules_->rules[which] = initial_.rules[which];
  }

  static constexpr size_t kStates = 4;
  const Entry& entry_;
  FrameRules* rules_;
  FrameRules initial_{}, states_[kStates];
  size_t depth_ = 0;
};

}  // namespace

bool find_frame_rules(const Module* module, uintptr_t address, FrameRules* rules) {
  memset(static_cast<void*>(rules), 0, sizeof(*rules));
  rules->address = address;
  if (module->frame_header == nullptr) return false;
  const unsigned char* place = find_entry(module, address);
  Entry entry;
  auto low = reinterpret_cast<const unsigned char*>(module->low);
  if (place == nullptr || place < low || place >= end_of(module) ||
      !read_entry(place, module, address, &entry))
    return false;
  Interpreter interpreter(entry, rules);
  interpreter.run(entry.initial, entry.initial_end, ~uintptr_t{0});
  interpreter.keep_initial();
  interpreter.run(entry.program, entry.program_end, address);
  rules->signal_frame = entry.signal_frame;
  return rules->found = true;
}

}  // namespace coshim

#include "runtime/diag/line_table.h"

#include <string.h>

#include "runtime/base/log.h"
#include "runtime/diag/byte_reader.h"

namespace coshim {

namespace {

// DWARF 5, 7.5.6: the forms that occur in a line table's header.
constexpr uint64_t kFormBlock2 = 0x03, kFormBlock4 = 0x04, kFormData2 = 0x05, kFormData4 = 0x06,
                   kFormData8 = 0x07, kFormString = 0x08, kFormBlock = 0x09, kFormBlock1 = 0x0a,
                   kFormData1 = 0x0b, kFormStrp = 0x0e, kFormUdata = 0x0f, kFormSecOffset = 0x17,
                   kFormData16 = 0x1e, kFormLineStrp = 0x1f;
constexpr uint64_t kContentPath = 1, kContentDirectory = 2;
constexpr int kMaximumFormats = 16;

struct Strings {
  FilePart plain, line;
};

struct Header {
  uint16_t version;
  uint8_t minimum_length, line_range, opcode_base;
  int8_t line_base;
  const unsigned char* lengths;  // of the standard opcodes' operands
  const unsigned char* tables;   // directories and files
  const unsigned char* program;
  const unsigned char* end;
};

bool read_header(const unsigned char* unit, const unsigned char* section_end, Header* header) {
  ByteReader reader(unit, section_end);
  auto length = reader.number<uint32_t>();
  if (length >= 0xfffffff0 || length > reader.left()) return false;  // 64-bit DWARF: not made for x86-64
  header->end = reader.at() + length;
  header->version = reader.number<uint16_t>();
  if (header->version < 2 || header->version > 5) return false;
  if (header->version == 5 && (reader.number<uint8_t>() != 8 || reader.number<uint8_t>() != 0)) return false;
  auto header_length = reader.number<uint32_t>();
  if (header_length > reader.left()) return false;
  header->program = reader.at() + header_length;
  header->minimum_length = reader.number<uint8_t>();
  if (header->version >= 4) reader.number<uint8_t>();  // operations an instruction: 1 but for VLIW
  reader.number<uint8_t>();                            // default_is_stmt
  header->line_base = reader.number<int8_t>();
  header->line_range = reader.number<uint8_t>();
  header->opcode_base = reader.number<uint8_t>();
  header->lengths = reader.at();
  if (header->opcode_base == 0 || header->line_range == 0) return false;
  reader.skip(header->opcode_base - 1U);
  header->tables = reader.at();
  return header->program <= header->end;
}

struct LineState {
  uint64_t address = 0;
  uint64_t file = 1;
  uint64_t line = 1;
};

// Runs the line program until visit(state, end_of_sequence) says stop. DWARF 5, 6.2.5.
template <typename Visit>
void run(const Header& header, const unsigned char* from, Visit&& visit) {
  ByteReader reader(from, header.end);
  LineState state;
  while (!reader.done()) {
    auto code = reader.number<uint8_t>();
    if (code >= header.opcode_base) {
      unsigned adjusted = code - header.opcode_base;
      state.address += adjusted / header.line_range * header.minimum_length;
      state.line += static_cast<uint64_t>(header.line_base + static_cast<int>(adjusted % header.line_range));
      if (visit(state, false, reader.at())) return;
      continue;
    }
    switch (code) {
      case 0: {
        uint64_t length = reader.unsigned_leb();
        const unsigned char* next = reader.at() + (length < reader.left() ? length : reader.left());
        auto extended = length > 0 ? reader.number<uint8_t>() : uint8_t{0};
        if (extended == 1) {
          if (visit(state, true, next)) return;
          state = LineState();
        } else if (extended == 2 && length == 9) {
          state.address = reader.number<uint64_t>();
        }
        reader = ByteReader(next, header.end);
        break;
      }
      case 1:
        if (visit(state, false, reader.at())) return;
        break;
      case 2:
        state.address += reader.unsigned_leb() * header.minimum_length;
        break;
      case 3:
        state.line += static_cast<uint64_t>(reader.signed_leb());
        break;
      case 4:
        state.file = reader.unsigned_leb();
        break;
      case 8:
        state.address += (255U - header.opcode_base) / header.line_range * header.minimum_length;
        break;
      case 9:
        state.address += reader.number<uint16_t>();
        break;
      default:
        for (int i = 0; i < header.lengths[code - 1]; ++i) reader.unsigned_leb();
        break;
    }
  }
}

const char* string_at(FilePart strings, uint64_t offset) {
  if (offset >= strings.size || memchr(strings.data + offset, 0, strings.size - offset) == nullptr) return "";
  return reinterpret_cast<const char*>(strings.data + offset);
}

struct Value {
  uint64_t number = 0;
  const char* text = "";
};

bool read_form(ByteReader* reader, uint64_t form, const Strings& strings, Value* value) {
  switch (form) {
    case kFormString:
      value->text = reader->text();
      return true;
    case kFormLineStrp:
      value->text = string_at(strings.line, reader->number<uint32_t>());
      return true;
    case kFormStrp:
      value->text = string_at(strings.plain, reader->number<uint32_t>());
      return true;
    case kFormUdata:
      value->number = reader->unsigned_leb();
      return true;
    case kFormData1:
      value->number = reader->number<uint8_t>();
      return true;
    case kFormData2:
      value->number = reader->number<uint16_t>();
      return true;
    case kFormData4:
    case kFormSecOffset:
      value->number = reader->number<uint32_t>();
      return true;
    case kFormData8:
      value->number = reader->number<uint64_t>();
      return true;
    case kFormData16:
      reader->skip(16);
      return true;
    case kFormBlock:
      reader->skip(reader->unsigned_leb());
      return true;
    case kFormBlock1:
      reader->skip(reader->number<uint8_t>());
      return true;
    case kFormBlock2:
      reader->skip(reader->number<uint16_t>());
      return true;
    case kFormBlock4:
      reader->skip(reader->number<uint32_t>());
      return true;
    default:
      return false;
  }
}

// DWARF 5's directories and files are tables that describe themselves. Gives entry `wanted`'s path and
// directory, and leaves the reader behind the table.
bool read_table(ByteReader* reader, const Strings& strings, uint64_t wanted, Value* path,
                uint64_t* directory) {
  uint64_t content[kMaximumFormats], form[kMaximumFormats];
  auto formats = reader->number<uint8_t>();
  if (formats > kMaximumFormats) return false;
  for (int i = 0; i < formats; ++i) {
    content[i] = reader->unsigned_leb();
    form[i] = reader->unsigned_leb();
  }
  uint64_t count = reader->unsigned_leb();
  for (uint64_t entry = 0; entry < count && !reader->done(); ++entry) {
    for (int i = 0; i < formats; ++i) {
      Value value;
      if (!read_form(reader, form[i], strings, &value)) return false;
      if (entry != wanted) continue;
      if (content[i] == kContentPath) *path = value;
      if (content[i] == kContentDirectory) *directory = value.number;
    }
  }
  return true;
}

bool name_of_5(const Header& header, const Strings& strings, uint64_t file, Value* name, Value* directory) {
  ByteReader directories(header.tables, header.program), files = directories;
  uint64_t which = 0, ignored = 0;
  Value unused;
  if (!read_table(&files, strings, ~uint64_t{0}, &unused, &ignored)) return false;
  if (!read_table(&files, strings, file, name, &which)) return false;
  return read_table(&directories, strings, which, directory, &ignored);
}

// Versions up to 4: lists of texts that end with an empty one; both count from 1.
bool name_of_4(const Header& header, uint64_t file, Value* name, Value* directory) {
  ByteReader reader(header.tables, header.program);
  const unsigned char* directories = reader.at();
  while (!reader.done() && reader.text()[0] != '\0') {
  }
  for (uint64_t entry = 1; !reader.done(); ++entry) {
    const char* text = reader.text();
    if (text[0] == '\0') return false;
    uint64_t which = reader.unsigned_leb();
    reader.unsigned_leb();
    reader.unsigned_leb();
    if (entry != file) continue;
    name->text = text;
    ByteReader again(directories, header.program);
    for (uint64_t i = 1; i <= which; ++i) directory->text = again.text();
    return true;
  }
  return false;
}

bool add_sequence(Module* module, const LineSequence& sequence) {
  if (module->line_count == module->line_capacity) {
    size_t capacity = module->line_capacity == 0 ? 1024 : module->line_capacity * 2;
    auto* larger = static_cast<LineSequence*>(map_zeroed(capacity * sizeof(LineSequence)));
    if (larger == nullptr) return false;
    if (module->lines != nullptr) memcpy(larger, module->lines, module->line_count * sizeof(LineSequence));
    unmap(module->lines, module->line_capacity * sizeof(LineSequence));
    module->lines = larger;
    module->line_capacity = capacity;
  }
  module->lines[module->line_count++] = sequence;
  return true;
}

// One pass over all line programs: which addresses each sequence covers.
void read_sequences(Module* module, FilePart section) {
  module->lines_read = true;
  const unsigned char *unit = section.data, *section_end = section.data + section.size;
  while (unit + 4 < section_end) {
    Header header;
    uint32_t length;
    memcpy(&length, unit, sizeof(length));
    if (length > static_cast<size_t>(section_end - unit) - 4) return;
    if (read_header(unit, section_end, &header)) {
      LineSequence sequence{~uint64_t{0}, 0, unit, header.program};
      run(header, header.program, [&](const LineState& state, bool end, const unsigned char* next) {
        if (sequence.low == ~uint64_t{0}) sequence.low = state.address;
        if (!end) return false;
        sequence.high = state.address;
        bool full = sequence.low != 0 && !add_sequence(module, sequence);  // at 0: thrown away by the linker
        sequence.low = ~uint64_t{0};
        sequence.program = next;
        return full;
      });
    }
    unit += 4 + length;
  }
}

}  // namespace

bool find_source_line(Module* module, uint64_t address, SourceLine* result) {
  if (module->image == nullptr) return false;
  FilePart section = find_section(module, ".debug_line", 0, nullptr);
  if (section.data == nullptr) return false;
  if (!module->lines_read) read_sequences(module, section);
  const LineSequence* sequence = nullptr;
  for (size_t i = 0; i < module->line_count && sequence == nullptr; ++i) {
    const LineSequence& candidate = module->lines[i];
    if (address >= candidate.low && address < candidate.high) sequence = &candidate;
  }
  Header header;
  if (sequence == nullptr || !read_header(sequence->unit, section.data + section.size, &header)) return false;
  LineState found;
  bool any = false;
  run(header, sequence->program, [&](const LineState& state, bool end, const unsigned char*) {
    if (state.address > address) return true;
    found = state;
    any = true;
    return end;
  });
  Strings strings{find_section(module, ".debug_str", 0, nullptr),
                  find_section(module, ".debug_line_str", 0, nullptr)};
  Value name, directory;
  if (!any || !(header.version == 5 ? name_of_5(header, strings, found.file, &name, &directory)
                                    : name_of_4(header, found.file, &name, &directory)))
    return false;
  bool absolute = name.text[0] == '/' || directory.text[0] == '\0';
  format_text(result->file, sizeof(result->file), "%s%s%s", absolute ? "" : directory.text,
              absolute ? "" : "/", name.text);
  result->line = static_cast<unsigned>(found.line);
  return result->line != 0;
}

}  // namespace coshim

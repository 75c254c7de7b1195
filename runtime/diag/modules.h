// The files that the program's code comes from: the list of the dynamic loader, as it was when this was made,
// and the files themselves, mapped read-only on demand. One owner, one thread. No malloc.
#pragma once

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>

namespace coshim {

struct Module {
  uintptr_t base;                     // added to the addresses of the file
  uintptr_t low, high;                // where it lies
  const unsigned char* frame_header;  // .eh_frame_hdr in memory; null: none
  const unsigned char* note;          // its notes in memory (build id)
  size_t note_size, note_offset;
  char path[256];

  bool opened;
  const unsigned char* image;  // the file; null: can't be had, or it is another one by now
  size_t image_size;
  // What others derive from the file (symbols.cpp, line_table.cpp).
  const ElfW(Sym) * symbols;
  size_t symbol_count;
  const char* names;
  size_t names_size;
  struct LineSequence* lines;
  size_t line_count, line_capacity;
  bool lines_read;

  const char* name() const;  // the path's last part
};

struct FilePart {
  const unsigned char* data;
  size_t size;
};

class Modules {
 public:
  Modules();
  ~Modules();
  Modules(const Modules&) = delete;
  Modules& operator=(const Modules&) = delete;
  // Null: no module's.
  Module* find(uintptr_t address);
  // Maps the file if that was not tried yet. False: there is none.
  bool open(Module* module);
  size_t count() const { return count_; }
  Module* at(size_t index) { return &modules_[index]; }

 private:
  static constexpr size_t kMaximumModules = 1024;
  static int add(dl_phdr_info* info, size_t size, void* self);

  Module* modules_;
  size_t count_ = 0;
  Module* last_ = nullptr;
};

// The part of an opened module's file that is its section `name`, or the first of `type` where name is null;
// data null where there is none or it is compressed. *header, if given, is the section's header.
FilePart find_section(const Module* module, const char* name, uint32_t type, const ElfW(Shdr) * *header);

void* map_zeroed(size_t size);  // null when memory ends
void unmap(const void* memory, size_t size);

}  // namespace coshim

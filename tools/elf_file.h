// A 64-bit little-endian ELF file, read with suspicion: what is out of bounds is not there (elf(5)).
#pragma once

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include <set>
#include <string>
#include <vector>

namespace coshim::tools {

class ElfFile {
 public:
  ~ElfFile();
  ElfFile() = default;
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  // False with the reason when it can't be read at all. A file that is no such ELF opens well, and is_elf()
  // is false.
  bool open(const std::string& path, std::string* reason);

  bool is_elf() const { return header_ != nullptr; }
  std::string first_line() const;  // of a file that is no ELF: "#!/bin/sh"
  bool is_other_elf() const;       // 32 bits, or big endian
  uint16_t machine() const { return header_->e_machine; }
  bool has_program_headers() const { return !segments_.empty(); }
  const std::string& interpreter() const { return interpreter_; }  // empty: none, static
  const std::vector<std::string>& needed() const { return needed_; }
  bool has_section(const std::string& name) const { return sections_.count(name) != 0; }
  // Names, without versions. Of .dynsym; `local` of .symtab too, where it was not stripped.
  const std::set<std::string>& imported() const { return imported_; }
  const std::set<std::string>& exported() const { return exported_; }
  const std::set<std::string>& local() const { return local_; }

  struct Bytes {
    const uint8_t* data;
    size_t size;
  };
  std::vector<Bytes> code() const;  // executable segments

 private:
  template <typename T>
  const T* at(uint64_t offset, uint64_t count = 1) const;
  std::string text(uint64_t offset) const;
  void read_segments();
  void read_sections();
  void read_needed(const Elf64_Shdr& section, const Elf64_Shdr& strings);
  void read_symbols(const Elf64_Shdr& section, const Elf64_Shdr& strings);

  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  const Elf64_Ehdr* header_ = nullptr;
  std::vector<Elf64_Phdr> segments_;
  std::string interpreter_;
  std::vector<std::string> needed_;
  std::set<std::string> sections_, imported_, exported_, local_;
};

}  // namespace coshim::tools

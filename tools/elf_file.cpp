#include "tools/elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace coshim::tools {

ElfFile::~ElfFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

template <typename T>
const T* ElfFile::at(uint64_t offset, uint64_t count) const {
  if (offset > size_ || count > (size_ - offset) / sizeof(T) || offset % alignof(T) != 0) return nullptr;
  return reinterpret_cast<const T*>(data_ + offset);
}

std::string ElfFile::text(uint64_t offset) const {
  if (offset >= size_) return "";
  return std::string(reinterpret_cast<const char*>(data_ + offset),
                     strnlen(reinterpret_cast<const char*>(data_ + offset), size_ - offset));
}

bool ElfFile::open(const std::string& path, std::string* reason) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) {
    *reason = strerror(errno);
    if (fd >= 0) close(fd);
    return false;
  }
  if (!S_ISREG(status.st_mode)) {
    *reason = S_ISDIR(status.st_mode) ? "is a directory" : "is no regular file";
    close(fd);
    return false;
  }
  size_ = static_cast<size_t>(status.st_size);
  if (size_ > 0) {
    void* address = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (address != MAP_FAILED) data_ = static_cast<const uint8_t*>(address);
  }
  close(fd);
  if (data_ == nullptr) size_ = 0;
  const auto* header = at<Elf64_Ehdr>(0);
  if (header == nullptr || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || is_other_elf()) return true;
  header_ = header;
  read_segments();
  read_sections();
  return true;
}

std::string ElfFile::first_line() const {
  std::string line;
  for (size_t i = 0; i < size_ && i < 256 && data_[i] != '\n' && data_[i] != '\0'; ++i)
    line += static_cast<char>(data_[i]);
  return line;
}

bool ElfFile::is_other_elf() const {
  return size_ > EI_DATA && memcmp(data_, ELFMAG, SELFMAG) == 0 &&
         (data_[EI_CLASS] != ELFCLASS64 || data_[EI_DATA] != ELFDATA2LSB);
}

void ElfFile::read_segments() {
  const auto* headers = at<Elf64_Phdr>(header_->e_phoff, header_->e_phnum);
  if (headers == nullptr || header_->e_phentsize != sizeof(Elf64_Phdr)) return;
  segments_.assign(headers, headers + header_->e_phnum);
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type == PT_INTERP) interpreter_ = text(segment.p_offset);
  }
}

void ElfFile::read_sections() {
  const auto* headers = at<Elf64_Shdr>(header_->e_shoff, header_->e_shnum);
  if (headers == nullptr || header_->e_shentsize != sizeof(Elf64_Shdr) ||
      header_->e_shstrndx >= header_->e_shnum)
    return;
  const Elf64_Shdr& names = headers[header_->e_shstrndx];
  for (size_t i = 0; i < header_->e_shnum; ++i) {
    const Elf64_Shdr& section = headers[i];
    if (names.sh_offset < size_) sections_.insert(text(names.sh_offset + section.sh_name));
    if (section.sh_link >= header_->e_shnum) continue;
    const Elf64_Shdr& strings = headers[section.sh_link];
    if (strings.sh_type != SHT_STRTAB || strings.sh_offset >= size_) continue;
    if (section.sh_type == SHT_DYNAMIC) read_needed(section, strings);
    if (section.sh_type == SHT_DYNSYM || section.sh_type == SHT_SYMTAB) read_symbols(section, strings);
  }
}

void ElfFile::read_needed(const Elf64_Shdr& section, const Elf64_Shdr& strings) {
  size_t count = section.sh_size / sizeof(Elf64_Dyn);
  const auto* entries = at<Elf64_Dyn>(section.sh_offset, count);
  for (size_t i = 0; entries != nullptr && i < count; ++i) {
    if (entries[i].d_tag == DT_NEEDED) needed_.push_back(text(strings.sh_offset + entries[i].d_un.d_val));
  }
}

void ElfFile::read_symbols(const Elf64_Shdr& section, const Elf64_Shdr& strings) {
  size_t count = section.sh_size / sizeof(Elf64_Sym);
  const auto* symbols = at<Elf64_Sym>(section.sh_offset, count);
  for (size_t i = 0; symbols != nullptr && i < count; ++i) {
    std::string name = text(strings.sh_offset + symbols[i].st_name);
    if (name.empty()) continue;
    if (section.sh_type == SHT_SYMTAB) {
      local_.insert(name);
    } else if (symbols[i].st_shndx == SHN_UNDEF) {
      imported_.insert(name);
    } else if (ELF64_ST_BIND(symbols[i].st_info) != STB_LOCAL) {
      exported_.insert(name);
    }
  }
}

std::vector<ElfFile::Bytes> ElfFile::code() const {
  std::vector<Bytes> all;
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
    if (const auto* bytes = at<uint8_t>(segment.p_offset, segment.p_filesz))
      all.push_back({bytes, segment.p_filesz});
  }
  return all;
}

}  // namespace coshim::tools

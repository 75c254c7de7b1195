// C++ names in a dump. The library itself takes namespaces and classes apart and leaves the rest (templates,
// operators) as the symbol table has it: what knows them all is libstdc++, which it must not bring along; the
// launcher may.
#pragma once

#include <string>
#include <unordered_map>

namespace coshim::tools {

class Demangler {
 public:
  explicit Demangler(bool json) : json_(json) {}
  // With every mangled name in it replaced. Whole lines only: a name must not be cut.
  std::string text(const std::string& lines);

 private:
  const std::string& name(const std::string& mangled);

  bool json_;  // names stand in strings there
  std::unordered_map<std::string, std::string> known_;
};

}  // namespace coshim::tools

#include "tools/demangle.h"

#include <cxxabi.h>
#include <stdlib.h>

#include "tools/command.h"

namespace coshim::tools {

namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

// The parts that gcc splits off functions: NAME.cold, NAME.part.0, NAME.constprop.1.isra.0.
size_t end_of_clone(const std::string& text, size_t at) {
  while (at + 1 < text.size() && text[at] == '.' && is_word(text[at + 1])) {
    for (++at; at < text.size() && is_word(text[at]);) ++at;
  }
  return at;
}

}  // namespace

const std::string& Demangler::name(const std::string& mangled) {
  auto [place, fresh] = known_.emplace(mangled, mangled);
  if (!fresh) return place->second;
  int status = 0;
  char* whole = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  if (whole == nullptr) return place->second;
  place->second = whole;
  free(whole);
  if (json_) {
    std::string quoted = json_string(place->second);
    place->second = quoted.substr(1, quoted.size() - 2);
  }
  return place->second;
}

std::string Demangler::text(const std::string& lines) {
  std::string result;
  size_t done = 0;
  for (size_t at = 0; (at = lines.find("_Z", at)) != std::string::npos;) {
    size_t end = at;
    while (end < lines.size() && is_word(lines[end])) ++end;
    if (at > 0 &&
        (is_word(lines[at - 1]) || lines[at - 1] == '/')) {  // inside another word, or a file's name
      at = end;
      continue;
    }
    size_t whole = end_of_clone(lines, end);
    result.append(lines, done, at - done);
    result += name(lines.substr(at, whole - at));
    done = at = whole;
  }
  result.append(lines, done, std::string::npos);
  return result;
}

}  // namespace coshim::tools

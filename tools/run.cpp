// coshim run: the environment, then exec.
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vector>

#include "runtime/config.h"
#include "tools/check.h"
#include "tools/command.h"

namespace coshim::tools {

namespace {

// As env(1), nohup(1) and the shells.
constexpr int kCannotExecute = 126, kNotFound = 127;

// "stack-size" -> "COSHIM_STACK_SIZE"
std::string variable_name(const std::string& option) {
  std::string name = option.compare(0, 7, "COSHIM_") == 0 ? "" : "COSHIM_";
  for (char c : option) name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return name;
}

bool is_variable(const std::string& name) {
  size_t count;
  const ConfigVariable* variables = config_variables(&count);
  for (size_t i = 0; i < count; ++i) {
    if (name == variables[i].name) return true;
  }
  return false;
}

int set(const std::string& shown, const std::string& name, const std::string& value) {
  if (!is_variable(name)) return misuse("%s: there is no %s", shown.c_str(), name.c_str());
  if (!config_value_is_good(name.c_str(), value.c_str()))
    return fail(EX_USAGE, "%s: malformed value \"%s\"; coshim env --meaning tells what it takes",
                name.c_str(), value.c_str());
  setenv(name.c_str(), value.c_str(), 1);
  return EX_OK;
}

// libcoshim.so beside the launcher, or where the package has it.
std::string find_library() {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
  std::string directory = length > 0 ? std::string(path, static_cast<size_t>(length)) : "";
  directory.erase(directory.find_last_of('/') + 1);
  for (const char* place :
       {"libcoshim.so", "../lib/libcoshim.so", "../" COSHIM_LIBRARY_DIRECTORY "/libcoshim.so"}) {
    std::string candidate = directory + place;
    if (access(candidate.c_str(), R_OK) != 0) continue;
    char whole[PATH_MAX];
    return realpath(candidate.c_str(), whole) != nullptr ? whole : candidate;
  }
  return "";
}

// Ours first, so that its names win over those of what else is preloaded; not twice.
std::string preload_with(const std::string& library) {
  const char* before = getenv("LD_PRELOAD");
  std::string all = library, rest = before != nullptr ? before : "";
  for (size_t at = 0; at < rest.size();) {
    size_t end = rest.find_first_of(": ", at);
    std::string entry = rest.substr(at, end == std::string::npos ? end : end - at);
    if (!entry.empty() && entry != library) all += ":" + entry;
    at = end == std::string::npos ? rest.size() : end + 1;
  }
  return all;
}

int execute(char** command, bool quiet, bool print_only) {
  std::string library = find_library();
  if (library.empty())
    return fail(EX_UNAVAILABLE, "libcoshim.so is neither beside this program nor where it was installed");
  if (library.find_first_of(" :") != std::string::npos)
    return fail(EX_CONFIG, "LD_PRELOAD takes no path with a space or colon: %s", library.c_str());
  setenv("LD_PRELOAD", preload_with(library).c_str(), 1);
  if (print_only) {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      if (strncmp(*entry, "COSHIM_", 7) == 0 || strncmp(*entry, "LD_PRELOAD=", 11) == 0)
        printf("%s\n", *entry);
    }
    return EX_OK;
  }
  std::string reason = why_not_preloaded(command[0]);
  if (!reason.empty() && !quiet) fail(0, "%s: its threads stay native: %s", command[0], reason.c_str());
  // execvp(3) gives what execve(2) does not know to a shell: right for scripts without #!, not for programs
  // of other machines.
  std::string path = find_program(command[0]);
  if (is_elf_program(path)) {
    execv(path.c_str(), command);
  } else {
    execvp(command[0], command);
  }
  int error = errno;
  return fail(error == ENOENT ? kNotFound : kCannotExecute, "%s: %s", command[0], strerror(error));
}

int run(int argc, char** argv) {
  bool quiet = false, print_only = false;
  int at = 1;
  for (; at < argc; ++at) {
    std::string argument = argv[at];
    if (argument == "--") {
      ++at;
      break;
    }
    if (argument == "-h" || argument == "--help") return print_help();
    if (argument == "-q" || argument == "--quiet") {
      quiet = true;
      continue;
    }
    if (argument == "-n" || argument == "--print") {
      print_only = true;
      continue;
    }
    size_t equals = argument.find('=');
    std::string name = argument.substr(0, equals);
    bool is_option = argument[0] == '-';
    if (is_option && argument.compare(0, 2, "--") != 0) return misuse("unknown option %s", argument.c_str());
    if (!is_option && equals == std::string::npos) break;
    name = variable_name(is_option ? name.substr(2) : name);
    if (is_option && !is_variable(name)) return misuse("unknown option %s", argument.c_str());
    std::string value;
    if (equals != std::string::npos) {
      value = argument.substr(equals + 1);
    } else if (++at < argc) {
      value = argv[at];
    } else {
      return misuse("%s needs a value", argument.c_str());
    }
    if (int status = set(argument, name, value)) return status;
  }
  if (at >= argc && !print_only) return misuse("no program");
  return execute(argv + at, quiet, print_only);
}

}  // namespace

const Command kRun = {
    "run", "run [--VARIABLE VALUE]... [NAME=VALUE]... [--quiet] [--print] [--] PROGRAM [ARGUMENTS]",
    "start a program under the shim",
    "  --stack-size 64K, --workers=2, ...   any variable of libcoshim(7): COSHIM_STACK_SIZE=64K, ...\n"
    "  NAME=VALUE                           the same, with or without COSHIM_\n"
    "  -q, --quiet                          no line where the preload can't reach the program\n"
    "  -n, --print                          print the environment that it would get, start nothing\n"
    "\n"
    "What LD_PRELOAD already names stays, after libcoshim.so. The program takes the launcher's place\n"
    "(exec), so its process id, exit status and signals are its own. 126: it can't be executed, 127:\n"
    "it isn't there.\n",
    &run};

}  // namespace coshim::tools

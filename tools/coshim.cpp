// coshim: starts a program under the shim, asks one for its dump, tells the configuration. More subcommands
// are to come.
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <string>

#include "runtime/config.h"

namespace {

constexpr int kUsage = 2, kCannotExecute = 126, kNotFound = 127;

int usage(FILE* out) {
  fprintf(out,
          "usage: coshim run [NAME=VALUE...] [--] PROGRAM [ARGUMENTS]   run it under the shim "
          "(COSHIM_NAME=VALUE or NAME=VALUE)\n"
          "       coshim dump PID                                       ask it for its dump "
          "(COSHIM_DUMP_SIGNAL, COSHIM_DUMP_PATH)\n"
          "       coshim env                                            every variable, its value here, its "
          "meaning\n"
          "       coshim version\n");
  return out == stderr ? kUsage : 0;
}

// libcoshim.so beside the launcher, or in ../lib.
std::string find_library() {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
  std::string directory = length > 0 ? std::string(path, static_cast<size_t>(length)) : "";
  directory.erase(directory.find_last_of('/') + 1);
  for (const char* place : {"libcoshim.so", "../lib/libcoshim.so", "../lib/x86_64-linux-gnu/libcoshim.so"}) {
    std::string candidate = directory + place;
    if (access(candidate.c_str(), R_OK) == 0) return candidate;
  }
  return "";
}

int run(int argc, char** argv) {
  int at = 0;
  for (; at < argc && strcmp(argv[at], "--") != 0 && strchr(argv[at], '=') != nullptr; ++at) {
    std::string setting = argv[at];
    size_t equals = setting.find('=');
    std::string name = setting.substr(0, equals);
    if (name.compare(0, 7, "COSHIM_") != 0) name = "COSHIM_" + name;
    setenv(name.c_str(), setting.c_str() + equals + 1, 1);
  }
  if (at < argc && strcmp(argv[at], "--") == 0) ++at;
  if (at >= argc) return usage(stderr);
  std::string library = find_library();
  if (library.empty()) {
    fprintf(stderr, "coshim: libcoshim.so is not beside this program\n");
    return kNotFound;
  }
  const char* before = getenv("LD_PRELOAD");
  std::string preload = before != nullptr && *before != '\0' ? library + ":" + before : library;
  setenv("LD_PRELOAD", preload.c_str(), 1);
  execvp(argv[at], argv + at);
  int error = errno;
  fprintf(stderr, "coshim: %s: %s\n", argv[at], strerror(error));
  return error == ENOENT ? kNotFound : kCannotExecute;
}

// The value of a variable in another process's environment as it was at its start.
std::string variable_of(long pid, const char* name) {
  std::string path = "/proc/" + std::to_string(pid) + "/environ", prefix = std::string(name) + "=", value;
  FILE* file = fopen(path.c_str(), "r");
  if (file == nullptr) return "";
  char* entry = nullptr;
  size_t room = 0;
  while (getdelim(&entry, &room, '\0', file) > 0) {
    if (strncmp(entry, prefix.c_str(), prefix.size()) == 0) value = entry + prefix.size();
  }
  free(entry);
  fclose(file);
  return value;
}

bool has_library(long pid) {
  FILE* maps = fopen(("/proc/" + std::to_string(pid) + "/maps").c_str(), "r");
  bool found = false;
  char line[PATH_MAX + 100];
  while (maps != nullptr && fgets(line, sizeof(line), maps) != nullptr)
    found = found || strstr(line, "libcoshim.so") != nullptr;
  if (maps != nullptr) fclose(maps);
  return found;
}

int dump(const char* text) {
  char* end;
  long pid = strtol(text, &end, 10);
  if (*end != '\0' || pid <= 0) return usage(stderr);
  if (!has_library(pid)) {
    fprintf(stderr, "coshim: process %ld does not run under the shim, or is not yours\n", pid);
    return 1;
  }
  std::string setting = variable_of(pid, "COSHIM_DUMP_SIGNAL");
  if (!setting.empty()) setenv("COSHIM_DUMP_SIGNAL", setting.c_str(), 1);
  coshim::read_config(environ, "coshim");
  if (kill(static_cast<pid_t>(pid), coshim::g_config.dump_signal) != 0) {
    fprintf(stderr, "coshim: process %ld: %s\n", pid, strerror(errno));
    return 1;
  }
  std::string path = variable_of(pid, "COSHIM_DUMP_PATH");
  printf("signal %d sent; the dump goes to %s\n", coshim::g_config.dump_signal,
         path.empty() ? "its stderr" : path.c_str());
  return 0;
}

int print_environment() {
  size_t count = 0;
  const coshim::ConfigVariable* variables = coshim::config_variables(&count);
  for (size_t i = 0; i < count; ++i) {
    const char* value = getenv(variables[i].name);
    printf("%-22s %-12s %s (default: %s)\n", variables[i].name, value != nullptr ? value : "-",
           variables[i].meaning, variables[i].default_text);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return usage(stderr);
  std::string command = argv[1];
  if (command == "run") return run(argc - 2, argv + 2);
  if (command == "dump" && argc == 3) return dump(argv[2]);
  if (command == "env" && argc == 2) return print_environment();
  if (command == "version" || command == "--version") return printf("coshim %s\n", COSHIM_VERSION) < 0;
  if (command == "help" || command == "--help") return usage(stdout);
  return usage(stderr);
}

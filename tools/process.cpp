#include "tools/process.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <memory>

#include "runtime/config.h"
#include "tools/command.h"

namespace coshim::tools {

namespace {

struct Close {
  void operator()(FILE* file) const { fclose(file); }
  void operator()(DIR* directory) const { closedir(directory); }
};
using File = std::unique_ptr<FILE, Close>;

// The process's own read of its settings, done again here.
int dump_signal_of(const std::string& setting) {
  std::string entry = "COSHIM_DUMP_SIGNAL=" + setting;
  char* environment[] = {entry.data(), nullptr};
  if (!config_value_is_good("COSHIM_DUMP_SIGNAL", setting.c_str())) environment[0] = nullptr;
  read_config(environment, "");
  return g_config.dump_signal;
}

}  // namespace

std::string read_whole(const std::string& path) {
  std::string text;
  File file(fopen(path.c_str(), "re"));
  char block[65536];
  size_t got;
  while (file && (got = fread(block, 1, sizeof(block), file.get())) > 0) text.append(block, got);
  return text;
}

std::string Process::file(const char* name) const {
  return "/proc/" + std::to_string(pid_) + "/" + name;
}

bool Process::read_status() {
  std::string status = read_whole(file("status"));
  const char* uid = strstr(status.c_str(), "\nUid:");
  const char* inner = strstr(status.c_str(), "\nNSpid:");
  if (uid == nullptr) return false;
  unsigned real, effective;
  if (sscanf(uid + 5, "%u %u", &real, &effective) != 2) return false;
  user_ = effective;
  inner_pid_ = pid_;
  if (inner != nullptr) {
    std::string numbers(inner + 7, strcspn(inner + 7, "\n"));
    inner_pid_ = static_cast<pid_t>(strtol(numbers.c_str() + numbers.find_last_of("\t "), nullptr, 10));
  }
  return true;
}

int Process::open(const char* text) {
  char* end;
  errno = 0;
  long pid = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || errno != 0 || pid <= 0 || pid > INT_MAX)
    return misuse("not a process id: %s", text);
  pid_ = static_cast<pid_t>(pid);
  if (!read_status()) return fail(EX_NOINPUT, "no process %d", pid_);
  File maps(fopen(file("maps").c_str(), "re"));
  if (!maps) return fail(EX_NOPERM, "process %d: %s", pid_, strerror(errno));
  bool loaded = false, any = false;
  char line[PATH_MAX + 100];
  while (fgets(line, sizeof(line), maps.get()) != nullptr) {
    any = true;
    loaded = loaded || strstr(line, "/libcoshim.so") != nullptr;
  }
  if (ferror(maps.get()) != 0) return fail(EX_NOPERM, "process %d: %s", pid_, strerror(EACCES));
  if (!any) return fail(EX_NOINPUT, "process %d has ended", pid_);
  if (!loaded) return fail(EX_UNAVAILABLE, "process %d does not run under the shim", pid_);
  std::string setting;
  dump_signal_ = dump_signal_of(variable("COSHIM_DUMP_SIGNAL", &setting) ? setting : "");
  return EX_OK;
}

pid_t Process::monitor_thread() const {
  std::unique_ptr<DIR, Close> tasks(opendir(file("task").c_str()));
  while (tasks) {
    dirent* entry = readdir(tasks.get());
    if (entry == nullptr) break;
    if (entry->d_name[0] == '.') continue;
    if (read_whole(file("task/") + entry->d_name + "/comm") == "coshim/monitor\n")
      return static_cast<pid_t>(strtol(entry->d_name, nullptr, 10));
  }
  return 0;
}

bool Process::takes_signal(pid_t thread) const {
  std::string status = read_whole(file("task/") + std::to_string(thread) + "/status");
  const char* blocked = strstr(status.c_str(), "\nSigBlk:\t");
  if (blocked == nullptr) return false;
  return (strtoull(blocked + 9, nullptr, 16) >> (dump_signal_ - 1) & 1) == 0;
}

bool Process::alive() const {
  std::string status = read_whole(file("status"));
  const char* state = strstr(status.c_str(), "\nState:\t");
  return state != nullptr && state[8] != 'Z' && state[8] != 'X';
}

std::string Process::in_its_root(const std::string& path) const {
  return file("root") + path;
}

std::string Process::environment() const {
  return read_whole(file("environ"));
}

bool Process::variable(const char* name, std::string* value) const {
  std::string all = environment(), prefix = std::string(name) + "=";
  for (size_t at = 0; at < all.size(); at += strlen(all.c_str() + at) + 1) {
    if (all.compare(at, prefix.size(), prefix) != 0) continue;
    *value = all.c_str() + at + prefix.size();
    return true;
  }
  return false;
}

std::string Process::name() const {
  std::string comm = read_whole(file("comm"));
  return comm.substr(0, comm.find('\n'));
}

}  // namespace coshim::tools

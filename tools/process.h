// A process under the shim, seen from outside: /proc and nothing else.
#pragma once

#include <sys/types.h>

#include <string>

namespace coshim::tools {

class Process {
 public:
  // The process that `text` names, if it runs under the shim and we may look at it. Else one line on stderr,
  // and the exit status: EX_USAGE, EX_NOINPUT (no such process), EX_NOPERM or EX_UNAVAILABLE (not under the
  // shim).
  int open(const char* text);

  pid_t pid() const { return pid_; }
  // Its pid and effective user as it sees them itself: in a pid namespace of its own the pid differs.
  pid_t inner_pid() const { return inner_pid_; }
  uid_t user() const { return user_; }
  // The signal that asks for dumps: of COSHIM_DUMP_SIGNAL as it was when the process started.
  int dump_signal() const { return dump_signal_; }
  // The hidden thread that exists while the runtime does; 0: no thread was created yet.
  pid_t monitor_thread() const;
  // Whether that thread takes the dump's signal: it blocks it while the program handles it.
  bool takes_signal(pid_t thread) const;
  bool alive() const;
  // The process's own view of an absolute path.
  std::string in_its_root(const std::string& path) const;
  // A variable of its environment as it was at its start.
  bool variable(const char* name, std::string* value) const;
  std::string environment() const;  // entries that end in a null byte each
  std::string name() const;

 private:
  std::string file(const char* name) const;
  bool read_status();

  pid_t pid_ = 0, inner_pid_ = 0;
  uid_t user_ = 0;
  int dump_signal_ = 0;
};

// The whole file, or an empty string.
std::string read_whole(const std::string& path);

}  // namespace coshim::tools

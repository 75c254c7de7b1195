// The environment, read once (DESIGN §10). One table in config.cpp names every variable, its meaning and its
// default; the documentation and the launcher print from the same table. No malloc, no stdio: it may be read
// before any constructor has run. A malformed value: one line that names it, and the default is used;
// COSHIM_STRICT=1: exit 78.
#pragma once

#include <stddef.h>

#include "runtime/base/clock.h"

namespace coshim {

enum class StackMode { private_stack, shared, elastic };

struct Config {
  bool disabled = false;  // COSHIM_DISABLE, or COSHIM_ONLY/COSHIM_SKIP say so
  bool strict = false;    // COSHIM_STRICT
  size_t stack_size = 0;  // COSHIM_STACK_SIZE in bytes; 0: the program's attribute, else RLIMIT_STACK
  StackMode stack_mode = StackMode::elastic;
  int shared_stacks = 4;                  // COSHIM_SHARED_STACKS, a processor
  bool stack_mode_given = false;          // by COSHIM_STACK_MODE, not by default
  Nanoseconds stack_idle = 1000000000;    // COSHIM_STACK_IDLE
  size_t guard_size = 0;                  // COSHIM_GUARD_SIZE in bytes; 0: the attribute's
  int workers = 0;                        // COSHIM_WORKERS; 0: the CPUs in the affinity mask
  Nanoseconds hog_time = 10000000;        // COSHIM_HOG_MS
  int blocking_limit = 64;                // COSHIM_BLOCKING
  const char* native_patterns = nullptr;  // COSHIM_NATIVE: globs separated by , or ; null: none
  int dump_signal = 0;                    // COSHIM_DUMP_SIGNAL; never 0 after read_config
  const char* dump_path = nullptr;        // COSHIM_DUMP_PATH with %p for the pid; null: stderr
  bool dump_json = false;                 // COSHIM_DUMP_FORMAT=json
  bool dump_full = false;                 // COSHIM_DUMP_FULL
  bool stats = false;                     // COSHIM_STATS
};

extern Config g_config;

// Reads `environment` (an envp array) into g_config and the log settings (COSHIM_LOG, COSHIM_LOG_PATH).
// `program` is the program's name (the last part of its path), for COSHIM_ONLY and COSHIM_SKIP.
void read_config(char* const* environment, const char* program);

// Shell-style match: * ? and literal characters. Comma- or semicolon-separated `patterns`, any may match.
bool matches_any(const char* patterns, const char* text);

// The rows of the table in runtime/config.cpp, for the documentation and the launcher.
struct ConfigVariable {
  const char* name;
  const char* meaning;
  const char* default_text;
};
const ConfigVariable* config_variables(size_t* count);
// For the launcher: would `text` be taken as the value of variable `name`? Changes g_config.
bool config_value_is_good(const char* name, const char* text);

}  // namespace coshim

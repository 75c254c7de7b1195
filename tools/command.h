// What the subcommands share: one table, exit codes of sysexits.h(3), errors of one line.
#pragma once

#include <sysexits.h>

#include <string>

namespace coshim::tools {

struct Command {
  const char* name;
  const char* usage;                  // after "usage: coshim "
  const char* summary;                // for `coshim help`
  const char* help;                   // what --help prints below the usage
  int (*run)(int argc, char** argv);  // argv[0] is "coshim NAME", as getopt_long(3) prints it
};

extern const Command kRun, kDump, kTop, kStats, kCheck, kEnv;

// One line on stderr, "coshim NAME: ..."; gives back `status`.
[[gnu::format(printf, 2, 3)]] int fail(int status, const char* format, ...);
// A wrong use: one line that names --help. EX_USAGE.
[[gnu::format(printf, 1, 2)]] int misuse(const char* format, ...);
// --help of the running subcommand. 0.
int print_help();

// `text` as a JSON string, with its quotes.
std::string json_string(const std::string& text);

}  // namespace coshim::tools

// coshim: starts programs under the shim, looks at those that run, and tells whether one can. A file a
// subcommand; this one picks it. docs: tools/man/coshim.1.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/terminal.h"

namespace coshim::tools {

namespace {

const Command* const kCommands[] = {&kRun, &kDump, &kTop, &kStats, &kCheck, &kEnv};
const Command* g_command;  // the running one

void print_line(const char* format, va_list arguments, const char* end) {
  Terminal::leave();
  fprintf(stderr, "coshim%s%s: ", g_command != nullptr ? " " : "",
          g_command != nullptr ? g_command->name : "");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "%s\n", end);
}

int print_commands() {
  printf("usage: coshim COMMAND [OPTIONS] [ARGUMENTS]\n\n");
  for (const Command* command : kCommands) printf("  %-7s %s\n", command->name, command->summary);
  printf("  %-7s %s\n  %-7s %s\n\n", "version", "the version of this launcher", "help", "this list");
  printf("coshim COMMAND --help tells more. Manual pages: coshim(1), libcoshim(7).\n");
  return EX_OK;
}

const Command* find_command(const char* name) {
  for (const Command* command : kCommands) {
    if (strcmp(command->name, name) == 0) return command;
  }
  return nullptr;
}

bool is_one_of(const char* text, const char* first, const char* second) {
  return strcmp(text, first) == 0 || strcmp(text, second) == 0;
}

}  // namespace

int fail(int status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print_line(format, arguments, "");
  va_end(arguments);
  return status;
}

int misuse(const char* format, ...) {
  std::string end = "; try: coshim ";
  if (g_command != nullptr) end += std::string(g_command->name) + " ";
  end += "--help";
  va_list arguments;
  va_start(arguments, format);
  print_line(format, arguments, end.c_str());
  va_end(arguments);
  return EX_USAGE;
}

int print_help() {
  printf("usage: coshim %s\n\n%s\n\n%s", g_command->usage, g_command->summary, g_command->help);
  return EX_OK;
}

std::string json_string(const std::string& text) {
  std::string quoted = "\"";
  for (char c : text) {
    char escaped[8];
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < ' ') {
      snprintf(escaped, sizeof(escaped), "\\u%04x", static_cast<unsigned>(c));
      quoted += escaped;
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

int main(int argc, char** argv) {
  if (argc < 2) return misuse("no command");
  const char* name = argv[1];
  if (is_one_of(name, "help", "--help") || strcmp(name, "-h") == 0) {
    if (argc < 3) return print_commands();
    g_command = find_command(argv[2]);
    return g_command != nullptr ? print_help() : misuse("no command \"%s\"", argv[2]);
  }
  if (is_one_of(name, "version", "--version")) {
    printf("coshim %s\n", COSHIM_VERSION);
    return EX_OK;
  }
  g_command = find_command(name);
  if (g_command == nullptr) return misuse("no command \"%s\"", name);
  std::string shown = std::string("coshim ") + name;  // in getopt_long's own messages
  argv[1] = shown.data();
  int status = g_command->run(argc - 1, argv + 1);
  // A full disk or a reader that went away is an error too.
  if (fflush(stdout) != 0 && status == EX_OK) return fail(EX_IOERR, "can't write the output");
  return status;
}

}  // namespace coshim::tools

int main(int argc, char** argv) {
  return coshim::tools::main(argc, argv);
}

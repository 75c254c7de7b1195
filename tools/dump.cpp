// coshim dump: what every thread of a process does, on stdout.
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ask.h"
#include "tools/command.h"

namespace coshim::tools {

namespace {

int run(int argc, char** argv) {
  static const option kOptions[] = {
      {"json", no_argument, nullptr, 'j'},         {"full", no_argument, nullptr, 'f'},
      {"output", required_argument, nullptr, 'o'}, {"timeout", required_argument, nullptr, 't'},
      {"help", no_argument, nullptr, 'h'},         {}};
  bool json = false, full = false;
  const char* output = nullptr;
  double timeout = 30;
  for (int c; (c = getopt_long(argc, argv, "jfo:t:h", kOptions, nullptr)) != -1;) {
    char* end;
    switch (c) {
      case 'j':
        json = true;
        break;
      case 'f':
        full = true;
        break;
      case 'o':
        output = optarg;
        break;
      case 't':
        timeout = strtod(optarg, &end);
        if (end == optarg || *end != '\0' || !(timeout > 0))
          return misuse("--timeout: not a number of seconds: %s", optarg);
        break;
      case 'h':
        return print_help();
      default:
        return EX_USAGE;
    }
  }
  if (argc - optind != 1) return misuse("one process id is needed");
  Process process;
  if (int status = process.open(argv[optind])) return status;
  int fd = STDOUT_FILENO;
  if (output != nullptr && (fd = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600)) < 0)
    return fail(EX_CANTCREAT, "%s: %s", output, strerror(errno));
  uint32_t what = json ? (full ? kAskDumpJsonFull : kAskDumpJson) : (full ? kAskDumpTextFull : kAskDumpText);
  return fetch_dump(process, what, timeout, fd);
}

}  // namespace

const Command kDump = {
    "dump", "dump [--json] [--full] [--output FILE] [--timeout SECONDS] PID",
    "what every thread of a process does and waits for, with backtraces",
    "  -j, --json             for programs (docs/dump.schema.json)\n"
    "  -f, --full             one block a thread, also where thousands have the same backtrace\n"
    "  -o, --output FILE      to FILE (0600) instead of stdout\n"
    "  -t, --timeout SECONDS  how long to wait for the answer (30)\n"
    "\n"
    "The process goes on meanwhile. It works while all of its threads are stuck: a hidden thread\n"
    "answers. Not where the program itself handles COSHIM_DUMP_SIGNAL.\n",
    &run};

}  // namespace coshim::tools

// coshim stats: the figures of a process, once.
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tools/ask.h"
#include "tools/command.h"
#include "tools/figures.h"

namespace coshim::tools {

namespace {

// NAME=VALUE -> name="value", as Prometheus wants them.
bool add_label(const char* text, std::string* labels) {
  const char* equals = strchr(text, '=');
  if (equals == nullptr || equals == text || isdigit(static_cast<unsigned char>(text[0])) != 0) return false;
  for (const char* p = text; p < equals; ++p) {
    if (isalnum(static_cast<unsigned char>(*p)) == 0 && *p != '_') return false;
  }
  *labels += (labels->empty() ? "" : ",") + std::string(text, equals) + "=" + json_string(equals + 1);
  return true;
}

int run(int argc, char** argv) {
  static const option kOptions[] = {{"json", no_argument, nullptr, 'j'},
                                    {"prometheus", no_argument, nullptr, 'p'},
                                    {"label", required_argument, nullptr, 'l'},
                                    {"help", no_argument, nullptr, 'h'},
                                    {}};
  char format = 't';
  std::string labels;
  for (int c; (c = getopt_long(argc, argv, "jpl:h", kOptions, nullptr)) != -1;) {
    switch (c) {
      case 'j':
      case 'p':
        format = static_cast<char>(c);
        break;
      case 'l':
        if (!add_label(optarg, &labels)) return misuse("--label: not NAME=VALUE: %s", optarg);
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
  StatisticsReader reader(process);
  Statistics now;
  if (int status = reader.read(&now)) return status;
  std::string text = format == 'j'   ? statistics_json(now, nullptr)
                     : format == 'p' ? statistics_prometheus(now, labels)
                                     : statistics_text(now);
  fputs(text.c_str(), stdout);
  return EX_OK;
}

}  // namespace

const Command kStats = {
    "stats", "stats [--json | --prometheus [--label NAME=VALUE]...] PID", "the figures of a process, once",
    "  -j, --json              one line for programs\n"
    "  -p, --prometheus        the text exposition format, for example for a textfile collector\n"
    "  -l, --label NAME=VALUE  a label for every line of it\n",
    &run};

}  // namespace coshim::tools

// coshim env: every variable, its value here or in a process, and where it came from.
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <map>

#include "runtime/config.h"
#include "tools/command.h"
#include "tools/process.h"

namespace coshim::tools {

namespace {

using Environment = std::map<std::string, std::string>;

// As getenv(3): the first of a name counts.
void add_entry(Environment* environment, const char* entry) {
  const char* equals = strchr(entry, '=');
  if (equals != nullptr)
    environment->emplace(std::string(entry, static_cast<size_t>(equals - entry)), equals + 1);
}

Environment own_environment() {
  Environment all;
  for (char** entry = environ; *entry != nullptr; ++entry) add_entry(&all, *entry);
  return all;
}

Environment environment_of(const Process& process) {
  Environment all;
  std::string text = process.environment();
  for (size_t at = 0; at < text.size(); at += strlen(text.c_str() + at) + 1)
    add_entry(&all, text.c_str() + at);
  return all;
}

void print_row(bool json, bool first, const std::string& name, const std::string& value,
               const std::string& origin, const char* meaning, bool show_meaning) {
  if (json) {
    printf("%s\n  {\"name\": %s, \"value\": %s, \"origin\": %s, \"meaning\": %s}", first ? "" : ",",
           json_string(name).c_str(), json_string(value).c_str(), json_string(origin).c_str(),
           json_string(meaning).c_str());
    return;
  }
  printf("%-20s  %-22s  %s\n", name.c_str(), value.c_str(), origin.c_str());
  if (show_meaning) printf("    %s\n", meaning);
}

void print_all(Environment environment, const std::string& place, bool json, bool show_meaning) {
  size_t count;
  const ConfigVariable* variables = config_variables(&count);
  if (json) printf("[");
  for (size_t i = 0; i < count; ++i) {
    const ConfigVariable& variable = variables[i];
    auto found = environment.find(variable.name);
    std::string value = variable.default_text, origin = "default";
    if (found != environment.end()) {
      bool good = config_value_is_good(variable.name, found->second.c_str());
      origin = good ? place : "default, as \"" + found->second + "\" in " + place + " is malformed";
      if (good) value = found->second;
      environment.erase(found);
    }
    print_row(json, i == 0, variable.name, value, origin, variable.meaning, show_meaning);
  }
  for (const auto& [name, value] : environment) {
    if (name.compare(0, 7, "COSHIM_") == 0)
      print_row(json, false, name, value, place + ", but there is no such variable", "", false);
  }
  if (json) printf("\n]\n");
}

int run(int argc, char** argv) {
  static const option kOptions[] = {{"json", no_argument, nullptr, 'j'},
                                    {"meaning", no_argument, nullptr, 'm'},
                                    {"help", no_argument, nullptr, 'h'},
                                    {}};
  bool json = false, meaning = false;
  for (int c; (c = getopt_long(argc, argv, "jmh", kOptions, nullptr)) != -1;) {
    if (c == 'h') return print_help();
    if (c == 'j') {
      json = true;
    } else if (c == 'm') {
      meaning = true;
    } else {
      return EX_USAGE;
    }
  }
  if (argc - optind > 1) return misuse("at most one process id");
  if (optind == argc) {
    print_all(own_environment(), "this environment", json, meaning);
    return EX_OK;
  }
  Process process;
  if (int status = process.open(argv[optind])) return status;
  print_all(environment_of(process), "the environment of process " + std::to_string(process.pid()), json,
            meaning);
  return EX_OK;
}

}  // namespace

const Command kEnv = {
    "env", "env [--meaning] [--json] [PID]",
    "every variable, its value here or in a process, and where it came from",
    "  -m, --meaning  with what it means and takes\n"
    "  -j, --json     for programs\n"
    "\n"
    "Without PID: what a program started from here would get. With PID: the environment that the\n"
    "process was started with (a program that overwrites it to change its title hides it).\n",
    &run};

}  // namespace coshim::tools

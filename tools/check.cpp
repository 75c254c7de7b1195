// coshim check: will the shim work for a program, and what will stay native? Reads files, runs nothing of the
// program's.
#include "tools/check.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <vector>

#include "tools/command.h"
#include "tools/elf_file.h"
#include "tools/inline_calls.h"

namespace coshim::tools {

namespace {

constexpr int kDoesNotWork = 1;
constexpr char kLoader[] = "/lib64/ld-linux-x86-64.so.2";

struct Hook {
  const char* name;
  const char* how;
};
constexpr Hook kHooks[] = {
#define COSHIM_HOOK(group, result, name, parameters, version, how) {#name, how},
#define COSHIM_TWIN(group, twin, name)
#include "preload/hooks.def"
#undef COSHIM_HOOK
#undef COSHIM_TWIN
};

// What of the blocking regions is worth telling: those that may last. (open() of a FIFO, fsync and the user
// database are regions too, as on every kernel thread.)
struct Family {
  const char* what;
  std::vector<const char*> prefixes;
};
const Family kFamilies[] = {
    {"name resolution", {"getaddrinfo", "getnameinfo", "gethostby", "res_"}},
    {"file locks", {"flock", "lockf"}},
    {"System V and POSIX queues", {"msg", "sem", "mq_"}},
    {"waiting for signals", {"sig", "__sig", "__xpg_sig", "pause"}},
    {"running commands", {"system", "pclose"}},
};

struct Report {
  std::string no;  // why it does not work; empty: it works
  // What holds a kernel thread while it waits -> where: names of functions, or of a library that calls them.
  std::map<std::string, std::vector<std::string>> native;
  std::vector<std::string> notes;
};

bool starts_with(const std::string& text, const char* prefix) {
  return text.compare(0, strlen(prefix), prefix) == 0;
}

bool any_imported(const ElfFile& file, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (file.imported().count(name) != 0) return true;
  }
  return false;
}

// Would the program get more rights than the one who asks here has? (ld.so(8), secure execution.) Empty: no.
std::string more_rights(const std::string& path) {
  struct stat status;
  char value[64];
  if (stat(path.c_str(), &status) != 0) return "";
  if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid()) return "setuid";
  if ((status.st_mode & S_ISGID) != 0 && status.st_gid != getgid()) return "setgid";
  bool capabilities =
      getuid() != 0 && getxattr(path.c_str(), "security.capability", value, sizeof(value)) >= 0;
  return capabilities ? "has file capabilities" : "";
}

// Sanitizers have a runtime of their own that knows threads by heart.
std::string sanitizer_of(const ElfFile& file) {
  static const struct {
    const char* symbol;
    const char* name;
  } kSanitizers[] = {{"__asan_init", "AddressSanitizer"},
                     {"__tsan_init", "ThreadSanitizer"},
                     {"__msan_init", "MemorySanitizer"},
                     {"__hwasan_init", "HWAddressSanitizer"}};
  for (const auto& sanitizer : kSanitizers) {
    if (file.imported().count(sanitizer.symbol) + file.exported().count(sanitizer.symbol) +
            file.local().count(sanitizer.symbol) !=
        0)
      return sanitizer.name;
  }
  return "";
}

std::string why_not(const ElfFile& file, const std::string& path) {
  if (file.is_other_elf()) return "not a 64-bit x86-64 program";
  if (!file.is_elf()) return "not a program for this machine (no ELF file)";
  if (file.machine() != EM_X86_64) return "not an x86-64 program";
  if (!file.has_program_headers()) return "not a program (an object file)";
  if (file.has_section(".go.buildinfo") || file.has_section(".note.go.buildid"))
    return "a Go program: its runtime makes its own kernel threads and system calls";
  if (file.interpreter().find("ld-musl") != std::string::npos) return "linked with musl, not with glibc";
  if (file.interpreter().empty()) {
    return path.find(".so") != std::string::npos ? "a library, not a program"
                                                 : "statically linked: the preload does not reach it";
  }
  if (file.interpreter() != kLoader && file.interpreter() != "/lib/ld64.so.1")
    return "loaded by " + file.interpreter() + ", not by glibc's loader";
  std::string rights = more_rights(path);
  if (!rights.empty()) return rights + ": the loader ignores a preload by path (ld.so(8), secure execution)";
  std::string sanitizer = sanitizer_of(file);
  if (!sanitizer.empty()) return "built with " + sanitizer + ", whose own runtime must know every thread";
  return "";
}

// Libraries as the loader would take them. It maps them and runs nothing (ld.so(8), --list).
std::vector<std::string> libraries_of(const std::string& path) {
  std::vector<std::string> found;
  std::string quoted = "'";
  for (char c : path) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  FILE* list = popen(
      (std::string("LD_PRELOAD= exec ") + kLoader + " --list " + quoted + "' 2>/dev/null").c_str(), "re");
  char line[4500];
  while (list != nullptr && fgets(line, sizeof(line), list) != nullptr) {
    const char* arrow = strstr(line, "=> /");
    if (arrow != nullptr) found.emplace_back(arrow + 3, strcspn(arrow + 3, " \n"));
  }
  if (list != nullptr) pclose(list);
  return found;
}

std::string file_name(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

// glibc's own libraries, and compilers' runtimes: known, and reached by the hooks where it matters.
bool is_system_library(const std::string& path) {
  for (const char* name : {"libc.so", "libm.so", "libpthread.so", "libdl.so", "librt.so", "libresolv.so",
                           "libutil.so", "libanl.so", "libnsl.so", "libnss_", "ld-linux", "libgcc_s.so",
                           "libstdc++.so", "libcrypt.so", "libmvec.so", "libcoshim.so"}) {
    if (starts_with(file_name(path), name)) return true;
  }
  return false;
}

bool belongs_to(const char* name, const Family& family) {
  for (const char* prefix : family.prefixes) {
    if (starts_with(name, prefix)) return true;
  }
  return false;
}

// One object of the program. `library`: its name; empty: the program itself, of which the functions are
// named.
void look_at(const ElfFile& file, const std::string& library, Report* report) {
  auto add = [&](const std::string& what, const std::string& name) {
    std::vector<std::string>& where = report->native[what];
    std::string entry = library.empty() ? name : "in " + library;
    if (where.empty() || where.back() != entry) where.push_back(entry);
  };
  for (const Family& family : kFamilies) {
    for (const Hook& hook : kHooks) {
      if (starts_with(hook.how, "region") && file.imported().count(hook.name) != 0 &&
          belongs_to(hook.name, family))
        add(family.what, hook.name);
    }
  }
  for (const auto& [name, count] : inline_waiting_calls(file))
    report->native["system calls made without libc"].push_back(name + " (" + std::to_string(count) + ")" +
                                                               (library.empty() ? "" : " in " + library));
  if (any_imported(file, {"io_uring_queue_init", "io_uring_queue_init_params", "io_uring_wait_cqe",
                          "io_uring_submit_and_wait", "__io_uring_get_cqe"}))
    add("io_uring", "completions");
  if (any_imported(file, {"pthread_mutexattr_setpshared", "pthread_condattr_setpshared",
                          "pthread_barrierattr_setpshared"}))
    add("locks shared with other processes, where it has them", "pthread_..._setpshared");
}

void tell_of_program(const ElfFile& file, Report* report) {
  if (any_imported(file, {"pthread_attr_setschedpolicy"}))
    report->notes.push_back(
        "may ask for a scheduling policy: threads with SCHED_FIFO or SCHED_RR stay native");
}

void tell_own_definitions(const ElfFile& file, Report* report) {
  std::string names;
  int count = 0;
  for (const Hook& hook : kHooks) {
    if (file.exported().count(hook.name) != 0 && ++count <= 5)
      names += (names.empty() ? "" : ", ") + std::string(hook.name);
  }
  if (count > 0)
    report->notes.push_back("defines " + names + (count > 5 ? " and others" : "") +
                            " itself, ahead of the shim's hooks");
}

bool creates_threads(const ElfFile& file) {
  return any_imported(file, {"pthread_create", "thrd_create"}) ||
         file.imported().count(
             "_ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE") != 0;
}

void look_at_all(const ElfFile& program, const std::string& path, Report* report) {
  bool threads = creates_threads(program), opens = any_imported(program, {"dlopen"});
  std::string by;
  look_at(program, "", report);
  tell_of_program(program, report);
  tell_own_definitions(program, report);
  for (const std::string& library : libraries_of(path)) {
    if (is_system_library(library)) continue;
    ElfFile file;
    std::string reason;
    if (!file.open(library, &reason) || !file.is_elf()) continue;
    if (creates_threads(file) && by.empty()) by = file_name(library);
    opens = opens || any_imported(file, {"dlopen"});
    look_at(file, file_name(library), report);
  }
  if (!threads && !by.empty()) report->notes.push_back("its threads are made by a library: " + by);
  if (!threads && by.empty())
    report->notes.push_back(
        opens ? "neither it nor its libraries create threads, but it opens more at run time (dlopen)"
              : "creates no threads: the shim has nothing to do");
  else if (opens)
    report->notes.push_back("opens more libraries at run time (dlopen): those were not looked at");
}

// The program that a script names in its first line: "#!/usr/bin/env NAME" too. Empty: no script.
std::string script_interpreter(const ElfFile& file) {
  std::string line = file.first_line();
  if (!starts_with(line, "#!")) return "";
  std::vector<std::string> words;
  for (size_t at = 2; at < line.size();) {
    size_t begin = line.find_first_not_of(" \t", at), end = line.find_first_of(" \t", begin);
    if (begin == std::string::npos) break;
    words.push_back(line.substr(begin, end == std::string::npos ? end : end - begin));
    at = end == std::string::npos ? line.size() : end;
  }
  if (words.empty()) return "";
  if (file_name(words[0]) != "env") return words[0];
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i][0] != '-' && words[i].find('=') == std::string::npos) return find_program(words[i]);
  }
  return words[0];
}

// Follows a script to its interpreter. False with the reason when a file can't be read.
bool open_program(std::string* path, std::unique_ptr<ElfFile>* file, std::string* reason) {
  for (int depth = 0; depth < 5; ++depth) {
    *file = std::make_unique<ElfFile>();
    if (!(*file)->open(*path, reason)) return false;
    std::string interpreter = (*file)->is_elf() ? "" : script_interpreter(**file);
    if (interpreter.empty()) return true;
    *path = interpreter;
  }
  return true;
}

void tell_of_rights(const std::string& shown, const std::string& path, Report* report) {
  struct stat status;
  if (access(shown.c_str(), X_OK) != 0)
    report->notes.push_back("it may not be executed: " + std::string(strerror(errno)));
  if (stat(path.c_str(), &status) == 0 && (status.st_mode & (S_ISUID | S_ISGID)) != 0)
    report->notes.push_back("setuid or setgid: for other users than this one its threads stay native");
}

std::vector<std::string> native_lines(const Report& report) {
  std::vector<std::string> lines;
  for (const auto& [what, where] : report.native) {
    std::string line = what + ": ";
    for (size_t i = 0; i < where.size(); ++i) line += (i == 0 ? "" : ", ") + where[i];
    lines.push_back(line);
  }
  return lines;
}

void print_text(const std::string& shown, const std::string& path, const Report& report) {
  std::string via = path == shown ? "" : " (" + path + ")";
  if (!report.no.empty()) {
    printf("%s%s: does not work, its threads stay native: %s\n", shown.c_str(), via.c_str(),
           report.no.c_str());
    return;
  }
  printf("%s%s: works\n", shown.c_str(), via.c_str());
  for (const std::string& line : native_lines(report))
    printf("  holds a kernel thread while it waits: %s\n", line.c_str());
  for (const std::string& line : report.notes) printf("  note: %s\n", line.c_str());
}

void print_list(const char* name, const std::vector<std::string>& lines) {
  printf(", \"%s\": [", name);
  for (size_t i = 0; i < lines.size(); ++i) printf("%s%s", i == 0 ? "" : ", ", json_string(lines[i]).c_str());
  printf("]");
}

void print_json(const std::string& path, const Report& report) {
  printf("{\"program\": %s, \"works\": %s, \"reason\": %s", json_string(path).c_str(),
         report.no.empty() ? "true" : "false", report.no.empty() ? "null" : json_string(report.no).c_str());
  print_list("holds_kernel_thread", native_lines(report));
  print_list("notes", report.notes);
  printf("}\n");
}

int check(const std::string& name, bool json) {
  std::string path = find_program(name), reason;
  std::string shown = path;
  std::unique_ptr<ElfFile> file;
  if (!open_program(&path, &file, &reason)) return fail(EX_NOINPUT, "%s: %s", path.c_str(), reason.c_str());
  Report report;
  report.no = why_not(*file, path);
  if (report.no.empty()) {
    look_at_all(*file, path, &report);
    tell_of_rights(shown, path, &report);
  }
  if (json) {
    print_json(path, report);
  } else {
    print_text(shown, path, report);
  }
  return report.no.empty() ? EX_OK : kDoesNotWork;
}

int run(int argc, char** argv) {
  static const option kOptions[] = {
      {"json", no_argument, nullptr, 'j'}, {"help", no_argument, nullptr, 'h'}, {}};
  bool json = false;
  for (int c; (c = getopt_long(argc, argv, "+jh", kOptions, nullptr)) != -1;) {
    if (c == 'h') return print_help();
    if (c != 'j') return EX_USAGE;
    json = true;
  }
  if (optind == argc) return misuse("no program");
  int worst = EX_OK;
  for (int i = optind; i < argc; ++i) {
    int status = check(argv[i], json);
    if (status > worst) worst = status;
  }
  return worst;
}

}  // namespace

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* variable = getenv("PATH");
  std::string path = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  for (size_t at = 0; at <= path.size();) {
    size_t end = path.find(':', at);
    if (end == std::string::npos) end = path.size();
    std::string candidate = (end > at ? path.substr(at, end - at) : ".") + "/" + name;
    struct stat status;
    if (access(candidate.c_str(), X_OK) == 0 && stat(candidate.c_str(), &status) == 0 &&
        S_ISREG(status.st_mode))
      return candidate;
    at = end + 1;
  }
  return name;
}

bool is_elf_program(const std::string& path) {
  ElfFile file;
  std::string reason;
  return file.open(path, &reason) && (file.is_elf() || file.is_other_elf());
}

std::string why_not_preloaded(const std::string& program) {
  std::string path = find_program(program), reason;
  std::unique_ptr<ElfFile> file;
  if (!open_program(&path, &file, &reason) || !file->is_elf()) return "";
  return why_not(*file, path);
}

const Command kCheck = {
    "check", "check [--json] PROGRAM...", "will the shim work for a program, and what will stay native",
    "  -j, --json  for programs\n"
    "\n"
    "Reads the program and the libraries that it is linked with, and runs nothing of them. Status 0: it\n"
    "works; 1: its threads would stay native; 66: a file can't be read.\n"
    "\n"
    "\"holds a kernel thread\": such calls work as natively, but each that waits keeps a kernel thread\n"
    "busy, as it would without the shim. System calls made without libc are guessed from the code.\n",
    &run};

}  // namespace coshim::tools

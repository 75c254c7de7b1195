// Loading, and the library run as a program.
#include <pthread.h>
#include <unistd.h>

#include "preload/next_library.h"
#include "preload/pointer_watch.h"
#include "preload/reach.h"
#include "runtime/base/log.h"
#include "runtime/config.h"
#include "runtime/thread/lifecycle.h"

extern "C" {

__attribute__((visibility("default"))) extern const char coshim_version[] = COSHIM_VERSION;

// The dynamic loader, for the kernel, when libcoshim.so is executed.
extern const char coshim_interpreter[] __attribute__((section(".interp"), used)) =
    "/lib64/ld-linux-x86-64.so.2";

[[noreturn]] __attribute__((used, force_align_arg_pointer)) void coshim_program_entry() {
  static const char text[] =
      "coshim " COSHIM_VERSION
      "\nUse: LD_PRELOAD=libcoshim.so PROGRAM [ARGUMENTS], or coshim run -- PROGRAM [ARGUMENTS]\n";
  coshim::sys::write(1, text, sizeof(text) - 1);
  for (;;) coshim::sys::call(SYS_exit_group, 0);
}
}

namespace coshim {
namespace {

const char* last_part(const char* path) {
  const char* name = path;
  for (const char* p = path; *p != '\0'; ++p) {
    if (*p == '/') name = p + 1;
  }
  return name;
}

// glibc passes main's arguments to constructors of shared objects too.
__attribute__((constructor(101))) void load(int argc, char** argv, char** environment) {
  read_config(environment, argc > 0 ? last_part(argv[0]) : "");
  if (g_config.disabled) return;
  runtime_at_start(&resolve_all);
  runtime_at_start(&reach_start);
  runtime_at_start(&next_library_start);
  runtime_at_start(&pointer_watch_start);
  // First registered: our prepare handler runs last, our child handler first (pthread_atfork(3)).
  pthread_atfork(&runtime_before_fork, &runtime_after_fork_in_parent, &runtime_after_fork_in_child);
}

}  // namespace
}  // namespace coshim

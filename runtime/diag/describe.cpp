#include "runtime/diag/describe.h"

#include <poll.h>

#include "runtime/config.h"
#include "runtime/sched/processor.h"

namespace coshim {

const char* wait_text(WaitKind kind) {
  switch (kind) {
    case WaitKind::none:
      return "";
    case WaitKind::sleep:
      return "sleeping";
    case WaitKind::readable:
      return "waiting to read descriptor";
    case WaitKind::writable:
      return "waiting to write descriptor";
    case WaitKind::accepting:
      return "waiting for a connection on descriptor";
    case WaitKind::connecting:
      return "connecting descriptor";
    case WaitKind::polling:
      return "polling descriptors";
    case WaitKind::mutex:
      return "waiting for mutex";
    case WaitKind::condition:
      return "waiting for condition";
    case WaitKind::rwlock_read:
      return "waiting to read-lock rwlock";
    case WaitKind::rwlock_write:
      return "waiting to write-lock rwlock";
    case WaitKind::semaphore:
      return "waiting for semaphore";
    case WaitKind::barrier:
      return "waiting at barrier";
    case WaitKind::join:
      return "joining";
    case WaitKind::futex:
      return "waiting on futex";
    case WaitKind::once:
      return "waiting for pthread_once";
    case WaitKind::place:
      return "waiting for one of COSHIM_BLOCKING places in the kernel";
    case WaitKind::spin:
      return "waiting for spin lock";
    case WaitKind::signal:
      return "waiting for a signal";
    case WaitKind::blocked_call:
      return "in the kernel in";
  }
  return "?";
}

const char* wait_name(WaitKind kind) {
  switch (kind) {
    case WaitKind::none:
      return "none";
    case WaitKind::sleep:
      return "sleep";
    case WaitKind::readable:
      return "readable";
    case WaitKind::writable:
      return "writable";
    case WaitKind::accepting:
      return "accept";
    case WaitKind::connecting:
      return "connect";
    case WaitKind::polling:
      return "poll";
    case WaitKind::mutex:
      return "mutex";
    case WaitKind::condition:
      return "condition";
    case WaitKind::rwlock_read:
      return "rwlock_read";
    case WaitKind::rwlock_write:
      return "rwlock_write";
    case WaitKind::semaphore:
      return "semaphore";
    case WaitKind::barrier:
      return "barrier";
    case WaitKind::join:
      return "join";
    case WaitKind::futex:
      return "futex";
    case WaitKind::once:
      return "once";
    case WaitKind::place:
      return "place";
    case WaitKind::spin:
      return "spin_lock";
    case WaitKind::signal:
      return "signal";
    case WaitKind::blocked_call:
      return "call";
  }
  return "none";
}

const char* state_name(const ThreadRecord& record) {
  switch (record.state) {
    case CoroutineState::free:
    case CoroutineState::starting:
      return "starting";
    case CoroutineState::runnable:
      return "runnable";
    case CoroutineState::running:
      return record.call != nullptr ? "blocked" : "running";
    case CoroutineState::parked:
      return record.id == 0 ? "blocked" : "parked";
    case CoroutineState::finished:
      return "ended";
  }
  return "?";
}

bool waits_for_descriptor(WaitKind kind) {
  return kind == WaitKind::readable || kind == WaitKind::writable || kind == WaitKind::accepting ||
         kind == WaitKind::connecting;
}

size_t polled_descriptors(const ThreadRecord& record, int* descriptors, size_t room) {
  if (record.wait != WaitKind::polling || record.object == nullptr) return 0;
  StackReader stack(record.coroutine);  // the array often lies on the stack
  size_t count = 0;
  for (size_t i = 0; i < record.polled && count < room; ++i) {
    uint64_t word = 0;  // one struct pollfd: the descriptor is its first half
    if (!stack.word(reinterpret_cast<uintptr_t>(record.object) + i * sizeof(pollfd), &word)) break;
    auto fd = static_cast<int>(word);
    if (fd >= 0) descriptors[count++] = fd;
  }
  return count;
}

const Symbol& frame_symbol(SymbolTable* symbols, const uintptr_t* frames, size_t index) {
  return symbols->look_up(index == 0 ? frames[index] : frames[index] - 1);
}

void print_frames(Output& out, SymbolTable* symbols, const uintptr_t* frames, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    char text[kSymbolText];
    format_symbol(text, sizeof(text), frame_symbol(symbols, frames, i));
    out.print("    #%lu %p %s\n", i, reinterpret_cast<void*>(frames[i]), text);
  }
}

void print_blocked_calls(Output& out, const Statistics& statistics, const char* prefix) {
  uint64_t blocked = 0;
  for (const BlockedCall& call : statistics.calls) blocked += call.blocked;
  auto print_seconds = [&out](uint64_t nanoseconds) {
    out.print("%lu.%06lus", nanoseconds / 1000000000, nanoseconds / 1000 % 1000000);
  };
  out.print(
      "%scalls that blocked a kernel thread for 100 us or longer: %lu (of %lu that could), time in them ",
      prefix, blocked, statistics.blocking_calls);
  print_seconds(statistics.blocking_nanoseconds);
  out.print("\n");
  for (const BlockedCall& call : statistics.calls) {
    if (call.name[0] == '\0') break;
    const char* note = call.kind == BlockedCallKind::unhooked ? " (system call, seen by no hook)" : "";
    out.print("%s  %s%s: %lu of %lu, ", prefix, call.name, note, call.blocked, call.calls);
    print_seconds(call.nanoseconds);
    out.print("\n");
  }
}

bool setting_in_force(size_t index, const char** name, char* value, size_t size) {
  static constexpr const char* kModes[] = {"private", "shared", "elastic"};
  switch (index) {
    case 0:
      *name = "COSHIM_STACK_MODE";
      return format_text(value, size, "%s", kModes[static_cast<int>(g_config.stack_mode)]) != 0;
    case 1:
      *name = "COSHIM_STACK_SIZE";
      if (g_config.stack_size == 0) return format_text(value, size, "the program's") != 0;
      return format_text(value, size, "%lu", g_config.stack_size) != 0;
    case 2:
      *name = "COSHIM_GUARD_SIZE";
      if (g_config.guard_size == 0) return format_text(value, size, "the program's") != 0;
      return format_text(value, size, "%lu", g_config.guard_size) != 0;
    case 3:
      *name = "COSHIM_WORKERS";
      return format_text(value, size, "%d", g_scheduler.processor_count) != 0;
    case 4:
      *name = "COSHIM_HOG_MS";
      return format_text(value, size, "%lu", static_cast<uint64_t>(g_config.hog_time / 1000000)) != 0;
    case 5:
      *name = "COSHIM_DUMP_SIGNAL";
      return format_text(value, size, "%d", g_config.dump_signal) != 0;
    case 6:
      *name = "COSHIM_DUMP_PATH";
      return format_text(value, size, "%s", g_config.dump_path != nullptr ? g_config.dump_path : "stderr") !=
             0;
    case 7:
      *name = "COSHIM_DUMP_FORMAT";
      return format_text(value, size, "%s", g_config.dump_json ? "json" : "text") != 0;
    case 8:
      *name = "COSHIM_DUMP_FULL";
      return format_text(value, size, "%d", g_config.dump_full ? 1 : 0) != 0;
    case 9:
      *name = "COSHIM_STATS";
      return format_text(value, size, "%d", g_config.stats ? 1 : 0) != 0;
    default:
      return false;
  }
}

}  // namespace coshim

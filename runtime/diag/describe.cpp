#include "runtime/diag/describe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "runtime/diag/saved_stack.h"
#include "runtime/sched/processor.h"
#include "runtime/sched/shared_switch.h"
#include "runtime/stack/slot.h"

namespace coshim {

namespace {

constexpr size_t kMaximumFrames = 64;

const char* state_text(CoroutineState state) {
  switch (state) {
    case CoroutineState::free:
      return "free";
    case CoroutineState::starting:
      return "starting";
    case CoroutineState::runnable:
      return "runnable";
    case CoroutineState::running:
      return "running";
    case CoroutineState::parked:
      return "parked";
    case CoroutineState::finished:
      return "ended, not joined";
  }
  return "?";
}

void print_age(Output& out, uint64_t from, uint64_t now) {
  uint64_t microseconds = now > from ? (now - from) / g_ticks_per_microsecond : 0;
  out.print("%lu.%03lus", microseconds / 1000000, microseconds / 1000 % 1000);
}

// " (tcp peer 127.0.0.1:8080)" and the like.
void print_descriptor(Output& out, int fd) {
  out.print(" %d", fd);
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (sys::call(SYS_getpeername, fd, &address, &length) != 0) return;
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    uint32_t ip = ntohl(v4->sin_addr.s_addr);
    out.print(" (peer %u.%u.%u.%u:%u)", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255,
              static_cast<unsigned>(ntohs(v4->sin_port)));
  } else if (address.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
    out.print(" (peer [");
    for (int i = 0; i < 16; i += 2) {
      out.print("%s%x", i == 0 ? "" : ":", v6->sin6_addr.s6_addr[i] * 256U + v6->sin6_addr.s6_addr[i + 1]);
    }
    out.print("]:%u)", static_cast<unsigned>(ntohs(v6->sin6_port)));
  } else if (address.ss_family == AF_UNIX) {
    out.print(" (unix socket)");
  }
}

}  // namespace

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
    case WaitKind::spin:
      return "waiting for spin lock";
    case WaitKind::signal:
      return "waiting for a signal";
    case WaitKind::blocked_call:
      return "in the kernel in";
  }
  return "?";
}

void Describer::print_wait(Output& out, const Coroutine* coroutine) {
  WaitKind kind = coroutine->wait_kind;
  const void* object = coroutine->wait_object;
  if (kind == WaitKind::none) return;
  out.print(", %s", wait_text(kind));
  switch (kind) {
    case WaitKind::readable:
    case WaitKind::writable:
    case WaitKind::accepting:
    case WaitKind::connecting:
      print_descriptor(out, static_cast<int>(reinterpret_cast<intptr_t>(object)));
      break;
    case WaitKind::join:
      out.print(" thread %lu", static_cast<const Coroutine*>(object)->id);
      break;
    case WaitKind::blocked_call:
      out.print(" %s", static_cast<const char*>(object));
      break;
    case WaitKind::mutex:
      // pthread_mutex_t is public: the owner's tid is its third int.
      out.print(" %p held by tid %d", const_cast<void*>(object),
                static_cast<const pthread_mutex_t*>(object)->__data.__owner);
      break;
    case WaitKind::sleep:
    case WaitKind::polling:
      break;
    default:
      out.print(" %p", const_cast<void*>(object));
      break;
  }
  out.print(" for ");
  print_age(out, coroutine->wait_since, now_);
}

void Describer::print_frames(Output& out, const uintptr_t* frames, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    Symbol symbol;
    // A return address belongs to the call before it.
    symbols_.look_up(i == 0 ? frames[i] : frames[i] - 1, &symbol);
    char text[400];
    format_symbol(text, sizeof(text), symbol);
    out.print("    #%lu %p %s\n", i, reinterpret_cast<void*>(frames[i]), text);
  }
}

void Describer::print_backtrace(Output& out, Coroutine* coroutine) {
  uintptr_t frames[kMaximumFrames];
  for (int attempt = 0; attempt < 3; ++attempt) {
    uint64_t switches = coroutine->switches;
    CoroutineState state = coroutine->state.load(std::memory_order_acquire);
    size_t count = 0;
    if (coroutine->frozen.load(std::memory_order_acquire) == kFrozen) {
      count = walk_shared_stack(coroutine, frames, kMaximumFrames);
    } else if (state == CoroutineState::running) {
      if (!walk_running(coroutine, frames, kMaximumFrames, &count)) continue;
    } else if (state == CoroutineState::parked || state == CoroutineState::runnable) {
      count = coroutine->shared_stack != nullptr
                  ? walk_shared_stack(coroutine, frames, kMaximumFrames)
                  : walk_stack(start_of_parked(coroutine->stack_pointer), frames, kMaximumFrames);
      // It may have gone on while we walked.
      if (coroutine->switches != switches || coroutine->state.load(std::memory_order_acquire) != state)
        continue;
    } else {
      return;
    }
    print_frames(out, frames, count);
    return;
  }
  out.print("    (moving too fast for a backtrace)\n");
}

void Describer::describe(Output& out, Coroutine* coroutine) {
  CoroutineState state = coroutine->state.load(std::memory_order_acquire);
  out.print("\nthread %lu (tid %d%s%s): %s", coroutine->id, coroutine->tid,
            coroutine->name[0] != '\0' ? ", " : "", coroutine->name, state_text(state));
  print_wait(out, coroutine);
  Symbol start;
  symbols_.look_up(coroutine->c11_start != nullptr ? reinterpret_cast<uintptr_t>(coroutine->c11_start)
                                                   : reinterpret_cast<uintptr_t>(coroutine->start_routine),
                   &start);
  char text[400];
  format_symbol(text, sizeof(text), start);
  out.print("\n  started in %s; switches %lu; stack %lu KiB", text, coroutine->switches,
            coroutine->stack_size / 1024);
  if (coroutine->shared_stack != nullptr) {
    out.print(
        ", shared; %lu bytes in use%s", shared_stack_bytes(coroutine).size,
        coroutine->frozen.load(std::memory_order_acquire) == kFrozen ? ", waits for its turn on it" : "");
  } else if (state == CoroutineState::parked && !coroutine->user_stack && coroutine->slot != nullptr) {
    auto used = coroutine->slot->stack_top - static_cast<char*>(coroutine->stack_pointer);
    out.print(", %ld bytes in use", static_cast<long>(used));
  }
  out.print("\n");
  print_backtrace(out, coroutine);
}

}  // namespace coshim

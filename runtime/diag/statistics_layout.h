// The live statistics as another process sees them (docs/diagnostics.md, "Live statistics"). Plain C++, fixed
// widths, no pointers, little endian as the machine; included by the library, which writes it, and by the
// launcher, which reads it. A change that is not an addition at the end raises kStatisticsVersion.
//
// How to read it. The reader is the same user (or root).
//   1. Queue the dump signal (COSHIM_DUMP_SIGNAL of the process, default 63) with si_code SI_QUEUE and
//      kAskStatistics as value, best to the hidden thread "coshim/monitor" alone (rt_tgsigqueueinfo(2) with
//      the tid whose /proc/PID/task/TID/comm says so): then no system call of the program's is interrupted.
//      Only if /proc/PID/maps names libcoshim.so and that thread exists: otherwise the signal would kill.
//   2. The library makes the file kSharedFileFormat with kStatisticsSuffix if it is not there, 0600, and
//   brings it
//      up to date: once for each asking. Open it with O_NOFOLLOW, check with fstat(2) that it is a regular
//      file of the process's user and with `magic`, `version` and `pid` that it is the right one, and map it
//      read-only.
//   3. `sequence` is odd while it is written: read it, copy, read it again; equal and even: the copy is
//   whole.
//      Wait until it differs from what it was before asking.
// The file goes when nobody has asked for kStatisticsLeaseSeconds, and at every orderly exit. One that a
// killed process left behind (no such pid, or `started` differs from a new one's) may be unlinked by anybody
// who can.
#pragma once

#include <stdint.h>

namespace coshim {

constexpr char kStatisticsMagic[8] = {'C', 'O', 'S', 'H', 'I', 'M', 'S', 'T'};
constexpr uint32_t kStatisticsVersion = 1;
constexpr int kStatisticsLeaseSeconds = 10;

// Values to queue with the dump signal (the low 32 bits of si_value). Any other, or a plain kill(2): a dump
// as the process's environment says. The kAskDump... ones write it in that form to kSharedFileFormat with
// kDumpSuffix, 0600, complete when it appears under that name; one that stands there already is replaced.
// Whoever asked unlinks it.
constexpr uint32_t kAskStatistics = 0x434f5301;
constexpr uint32_t kAskDumpText = 0x434f5302;
constexpr uint32_t kAskDumpJson = 0x434f5303;
constexpr uint32_t kAskDumpTextFull = 0x434f5304;  // one block a thread, however many are alike
constexpr uint32_t kAskDumpJsonFull = 0x434f5305;

// %u: the process's effective user id, %d: its process id, both as it sees them itself. A reader in another
// mount or pid namespace goes through /proc/PID/root and the last number of NSpid in /proc/PID/status.
constexpr char kSharedFileFormat[] = "/dev/shm/coshim-%u-%d.%s";
constexpr char kStatisticsSuffix[] = "stats";
constexpr char kDumpSuffix[] = "dump";

enum class BlockedCallKind : uint32_t {
  region = 0,    // a hooked function that is called on a kernel thread of its own while it lasts
  unhooked = 1,  // a system call that no hook saw: the monitor found the thread in it
  computing = 2  // no call at all: a thread that ran without a break for COSHIM_HOG_MS
};

struct BlockedCall {
  char name[40];  // of the function or the system call; empty: the end of the table
  BlockedCallKind kind;
  uint32_t reserved;
  uint64_t calls;        // times begun
  uint64_t blocked;      // of these, times that lasted 100 us or longer
  uint64_t nanoseconds;  // kernel threads' time in them, those in progress included
};
constexpr int kBlockedCalls = 128;

struct Statistics {
  // Identification.
  char magic[8];     // kStatisticsMagic
  uint32_t version;  // kStatisticsVersion
  uint32_t size;     // sizeof(Statistics) of the writer
  uint64_t sequence;
  int32_t pid;
  uint32_t stack_mode;  // 0 private, 1 shared, 2 elastic
  char library_version[16];
  int64_t started;  // CLOCK_MONOTONIC nanoseconds: the runtime's start, with the first thread
  int64_t updated;  // CLOCK_MONOTONIC nanoseconds: of these figures

  // The program's threads, now. alive = starting + runnable + running + parked + finished.
  uint64_t alive;
  uint64_t starting;
  uint64_t runnable;  // wait for a processor
  uint64_t running;   // includes those that block a kernel thread (`blocked`)
  uint64_t parked;
  uint64_t finished;  // ended and not joined
  uint64_t blocked;   // of the running ones: in a blocking region at this moment
  // Cumulative.
  uint64_t created;
  uint64_t peak_alive;

  // The scheduler, now.
  uint64_t processors;
  uint64_t processors_running;  // those that are not idle
  uint64_t queued;              // length of the run queues
  uint64_t workers;             // hidden kernel threads that run coroutines
  uint64_t workers_peak;
  uint64_t kernel_threads;       // of the whole process: hidden ones, main and native threads
  uint64_t kernel_threads_peak;  // the most that were seen when a worker began
  // Cumulative.
  uint64_t switches;         // times a thread was given a processor
  uint64_t wake_ups;         // times a thread was made runnable: created, unparked, yielded, stolen
  uint64_t worker_wake_ups;  // times a sleeping kernel thread was woken for it
  uint64_t hand_overs;       // processors taken from a thread that blocked or computed, and given on
  uint64_t steals;
  uint64_t long_calls;            // blocking regions that gave their processor away at once
  uint64_t blocking_calls;        // sum over `calls` of BlockedCall::calls
  uint64_t blocking_nanoseconds;  // sum over `calls` of BlockedCall::nanoseconds

  // Memory, bytes.
  uint64_t stack_slots;  // made
  uint64_t stack_slots_in_use;
  uint64_t stack_reserved_bytes;  // address space of all slots
  uint64_t stack_live_bytes;      // between top and stack pointer of the parked threads
  uint64_t stack_saved_bytes;     // shared and elastic: stacks kept outside of their slots
  uint64_t stack_deepest_bytes;   // the most of one stack that was seen touched, TLS included
  uint64_t resident_bytes;        // of the whole process

  BlockedCall calls[kBlockedCalls];  // most time first
};

static_assert(sizeof(BlockedCall) == 72 && sizeof(Statistics) % 8 == 0,
              "no padding that compilers could differ in");

}  // namespace coshim

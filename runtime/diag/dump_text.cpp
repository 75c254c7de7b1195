// The dump for people. Threads that stand at the same place, for the same reason, share one block.
#include "runtime/diag/describe.h"
#include "runtime/diag/descriptor_text.h"
#include "runtime/sched/processor.h"

namespace coshim {

namespace {

constexpr size_t kLinesOfAGroup = 10;

void print_seconds(Output& out, uint64_t nanoseconds) {
  out.print("%lu.%03lus", nanoseconds / 1000000000, nanoseconds / 1000000 % 1000);
}

class TextDump {
 public:
  TextDump(Output& out, const Snapshot& snapshot, SymbolTable* symbols)
      : out_(out), snapshot_(snapshot), symbols_(symbols) {}

  void write_header(const Statistics& s);
  void write_deadlocks();
  void write_thread(const ThreadRecord& record);
  void write_groups(uint32_t* heads, uint32_t* next);

 private:
  void print_name(const ThreadRecord& record);
  void print_holder(const ThreadRecord& record);
  void print_descriptor(int fd);
  void print_reason(const ThreadRecord& record);
  void print_polled(const ThreadRecord& record);
  void print_wait(const ThreadRecord& record, const char* lead);
  void print_details(const ThreadRecord& record);
  void print_backtrace(const ThreadRecord& record);
  void print_start(const ThreadRecord& record);
  uint64_t age(const ThreadRecord& record) const {
    uint64_t now = snapshot_.now();
    return record.since == 0 || now < record.since ? 0
                                                   : (now - record.since) * 1000 / g_ticks_per_microsecond;
  }

  Output& out_;
  const Snapshot& snapshot_;
  SymbolTable* symbols_;
};

void TextDump::print_name(const ThreadRecord& record) {
  if (record.id != 0) {
    out_.print("thread %lu (tid %d", record.id, record.tid);
  } else {
    out_.print("%s (tid %d", record.tid == sys::getpid() ? "main thread" : "native thread", record.tid);
  }
  out_.print("%s%s)", record.name[0] != '\0' ? ", " : "", record.name);
}

void TextDump::print_descriptor(int fd) {
  DescriptorText text;
  describe_descriptor(fd, &text);
  out_.print(" %d", fd);
  if (text.kind[0] == '\0') return out_.print(" (not open)");
  out_.print(" (%s", text.kind);
  if (text.peer[0] != '\0') {
    out_.print(" peer %s", text.peer);
  } else if (text.local[0] != '\0') {
    out_.print(" %s", text.local);
  }
  out_.print(")");
}

void TextDump::print_holder(const ThreadRecord& record) {
  if (record.wait == WaitKind::join) return;
  if (record.holder_index != kNone) {
    out_.print(" held by ");
    print_name(snapshot_.by_index(record.holder_index));
  } else if (record.holder != 0) {
    out_.print(" held by tid %d, which has ended", record.holder);
  } else if (record.readers != 0) {
    out_.print(" held by %u readers", record.readers);
  }
}

void TextDump::print_reason(const ThreadRecord& record) {
  switch (record.wait) {
    case WaitKind::none:
    case WaitKind::blocked_call:
      out_.print("in the kernel in %s", record.call);
      break;
    case WaitKind::readable:
    case WaitKind::writable:
    case WaitKind::accepting:
    case WaitKind::connecting:
      out_.print("%s", wait_text(record.wait));
      print_descriptor(static_cast<int>(reinterpret_cast<intptr_t>(record.object)));
      break;
    case WaitKind::join:
      out_.print("joining ");
      if (record.holder_index != kNone) {
        print_name(snapshot_.by_index(record.holder_index));
      } else {
        out_.print("tid %d", record.holder);
      }
      break;
    case WaitKind::sleep:
    case WaitKind::place:
      out_.print("%s", wait_text(record.wait));
      break;
    case WaitKind::polling:
      print_polled(record);
      break;
    default:
      out_.print("%s %p", wait_text(record.wait), const_cast<void*>(record.object));
      print_holder(record);
      break;
  }
}

void TextDump::print_polled(const ThreadRecord& record) {
  constexpr size_t kShown = 4;
  int descriptors[kShown];
  size_t count = polled_descriptors(record, descriptors, kShown);
  out_.print("polling %u descriptors%s", record.polled, count != 0 ? ":" : "");
  for (size_t i = 0; i < count; ++i) print_descriptor(descriptors[i]);
  if (record.polled > kShown) out_.print(" ...");
}

// `lead` comes first if there is anything to say.
void TextDump::print_wait(const ThreadRecord& record, const char* lead) {
  if (record.wait != WaitKind::none || record.call != nullptr) {
    out_.print("%s", lead);
    print_reason(record);
  }
  if (record.since != 0) {
    out_.print(" for ");
    print_seconds(out_, age(record));
  }
  if (record.timed && record.wait != WaitKind::sleep) out_.print(", with a time limit");
  if (record.cycle != 0) out_.print(" (DEADLOCK)");
}

void TextDump::print_details(const ThreadRecord& record) {
  out_.print("cpu ");
  print_seconds(out_, record.cpu_nanoseconds);
  if (record.id == 0) return;
  out_.print(", switches %lu; stack %lu KiB", record.switches, record.stack_size / 1024);
  if (record.stack_used != 0) out_.print(", %lu bytes in use", record.stack_used);
  if (record.stack_touched != 0) out_.print(", %lu KiB touched", record.stack_touched / 1024);
  if (record.stack_deepest > record.stack_touched)
    out_.print(", %lu KiB at the deepest", record.stack_deepest / 1024);
  if (record.residency == Residency::saved) out_.print(", saved");
  if (record.waiters != 0) out_.print("; %u threads wait for what it holds", record.waiters);
}

void TextDump::print_start(const ThreadRecord& record) {
  if (record.start_routine == 0) return;
  char text[kSymbolText];
  format_symbol(text, sizeof(text), symbols_->look_up(record.start_routine));
  out_.print("  started in %s\n", text);
}

void TextDump::print_backtrace(const ThreadRecord& record) {
  if (record.backtrace != kNone) {
    const Backtrace& backtrace = snapshot_.backtrace(record.backtrace);
    print_frames(out_, symbols_, snapshot_.frames(backtrace), backtrace.count);
  } else if (record.state != CoroutineState::finished) {
    out_.print("    (no backtrace: it moves too fast, or blocks the signal)\n");
  }
}

void TextDump::write_header(const Statistics& s) {
  out_.print("=== coshim %s dump of process %d ===\n", COSHIM_VERSION, s.pid);
  out_.print("processors %lu, running %lu; workers %lu; kernel threads %lu; up for ", s.processors,
             s.processors_running, s.workers, s.kernel_threads);
  print_seconds(out_, static_cast<uint64_t>(s.updated - s.started));
  out_.print("\nconfiguration:");
  const char* name = nullptr;
  char value[300];
  for (size_t i = 0; setting_in_force(i, &name, value, sizeof(value)); ++i)
    out_.print("%s %s=%s", i == 0 ? "" : ",", name, value);
  out_.print(
      "\nthreads: %lu alive (%lu running, %lu of them blocked in calls, %lu runnable, %lu parked, %lu ended "
      "and not "
      "joined), %lu created, %lu at the peak\n",
      s.alive, s.running, s.blocked, s.runnable + s.starting, s.parked, s.finished, s.created, s.peak_alive);
  out_.print("switches %lu, wake-ups %lu, of kernel threads %lu, processors handed on %lu, steals %lu\n",
             s.switches, s.wake_ups, s.worker_wake_ups, s.hand_overs, s.steals);
  print_blocked_calls(out_, s, "");
  if (snapshot_.left_out() != 0) out_.print("no memory to show %lu threads\n", snapshot_.left_out());
}

void TextDump::write_deadlocks() {
  for (uint32_t number = 1; number <= snapshot_.deadlocks(); ++number) {
    uint32_t first = snapshot_.first_of(number), at = first;
    out_.print("\nDEADLOCK: these threads wait for each other\n");
    do {
      const ThreadRecord& record = snapshot_.by_index(at);
      out_.print("  ");
      print_name(record);
      print_wait(record, ": ");
      out_.print("\n");
      at = record.holder_index;
    } while (at != first && at != kNone);
  }
}

void TextDump::write_thread(const ThreadRecord& record) {
  out_.print("\n");
  print_name(record);
  out_.print(": %s", state_name(record));
  print_wait(record, ", ");
  out_.print("\n  ");
  print_details(record);
  out_.print("\n");
  print_start(record);
  print_backtrace(record);
}

// A list of threads that are alike: `place` is the first one's, next[] leads on, 0 ends.
void TextDump::write_groups(uint32_t* heads, uint32_t* next) {
  for (size_t place = 0; place < snapshot_.count(); ++place) {
    const ThreadRecord& first = snapshot_.thread(place);
    if (heads[place] == 0) continue;  // member of an earlier group
    if (heads[place] == 1) {
      write_thread(first);
      continue;
    }
    out_.print("\n%u threads: %s%s%s\n", heads[place], state_name(first),
               first.wait != WaitKind::none ? ", " : "", wait_text(first.wait));
    print_start(first);
    size_t shown = 0;
    for (uint32_t member = static_cast<uint32_t>(place) + 1; member != 0 && shown < kLinesOfAGroup;
         member = next[member - 1], ++shown) {
      const ThreadRecord& record = snapshot_.thread(member - 1);
      out_.print("  ");
      print_name(record);
      print_wait(record, ": ");
      out_.print("; ");
      print_details(record);
      out_.print("\n");
    }
    if (heads[place] > shown)
      out_.print("  and %lu more (COSHIM_DUMP_FULL=1 shows all)\n", heads[place] - shown);
    print_backtrace(first);
  }
}

bool alike(const ThreadRecord& a, const ThreadRecord& b) {
  return a.backtrace == b.backtrace && a.state == b.state && a.wait == b.wait &&
         a.start_routine == b.start_routine && a.call == b.call && (a.id == 0) == (b.id == 0);
}

// Chains each thread to the first that is like it, by a hash of its backtrace: heads[place] becomes the
// group's size, 0 for all but its first.
void make_groups(const Snapshot& snapshot, uint32_t* heads, uint32_t* next, uint32_t* last, uint32_t* hash,
                 size_t hash_size) {
  for (size_t place = 0; place < snapshot.count(); ++place) {
    const ThreadRecord& record = snapshot.thread(place);
    auto index = static_cast<uint32_t>(place);
    heads[place] = 1;
    if (record.backtrace == kNone) continue;
    size_t at = (record.backtrace * 31 + static_cast<size_t>(record.wait)) * 0x9E3779B1U % hash_size;
    for (; hash[at] != 0 && !alike(snapshot.thread(hash[at] - 1), record); at = (at + 1) % hash_size) {
    }
    if (hash[at] == 0) {
      hash[at] = index + 1;
    } else {
      uint32_t first = hash[at] - 1;
      ++heads[first];
      heads[place] = 0;
      next[last[first]] = index + 1;
      last[first] = index;
      continue;
    }
    last[place] = index;
  }
}

}  // namespace

void write_text_dump(Output& out, const Snapshot& snapshot, SymbolTable* symbols,
                     const Statistics& statistics, bool full) {
  TextDump dump(out, snapshot, symbols);
  dump.write_header(statistics);
  dump.write_deadlocks();
  size_t count = snapshot.count(), hash_size = count * 2 + 1;
  size_t size = (count * 3 + hash_size) * sizeof(uint32_t);
  auto* memory = full ? nullptr : static_cast<uint32_t*>(map_zeroed(size));
  if (memory != nullptr) {
    make_groups(snapshot, memory, memory + count, memory + 2 * count, memory + 3 * count, hash_size);
    dump.write_groups(memory, memory + count);
    unmap(memory, size);
  } else {
    for (size_t place = 0; place < count; ++place) dump.write_thread(snapshot.thread(place));
  }
  out.print("=== end of dump ===\n");
}

}  // namespace coshim

// The dump for programs. docs/dump.schema.json says what is in it.
#include "runtime/diag/describe.h"
#include "runtime/diag/descriptor_text.h"

namespace coshim {

namespace {

class JsonDump {
 public:
  JsonDump(Output& out, const Snapshot& snapshot, SymbolTable* symbols)
      : out_(out), snapshot_(snapshot), symbols_(symbols) {}

  void write(const Statistics& statistics);

 private:
  void text(const char* name, const char* value) {
    out_.print("\"%s\":", name);
    out_.print_json_text(value);
  }
  void number(const char* name, uint64_t value) { out_.print("\"%s\":%lu", name, value); }

  void write_configuration();
  void write_statistics(const Statistics& s);
  void write_blocked_calls(const Statistics& s);
  void write_deadlocks();
  void write_backtraces();
  void write_symbol(const Symbol& symbol);
  void write_threads();
  void write_thread(const ThreadRecord& record);
  void write_wait(const ThreadRecord& record);
  void write_descriptor(int fd);
  void write_holder(const ThreadRecord& record);

  Output& out_;
  const Snapshot& snapshot_;
  SymbolTable* symbols_;
};

void JsonDump::write_configuration() {
  out_.print("\"configuration\":{");
  const char* name = nullptr;
  char value[300];
  for (size_t i = 0; setting_in_force(i, &name, value, sizeof(value)); ++i) {
    if (i != 0) out_.print(",");
    text(name, value);
  }
  out_.print("},\n");
}

void JsonDump::write_statistics(const Statistics& s) {
  const struct {
    const char* name;
    uint64_t value;
  } kFigures[] = {{"alive", s.alive},
                  {"starting", s.starting},
                  {"runnable", s.runnable},
                  {"running", s.running},
                  {"parked", s.parked},
                  {"finished", s.finished},
                  {"blocked", s.blocked},
                  {"created", s.created},
                  {"peak_alive", s.peak_alive},
                  {"processors", s.processors},
                  {"processors_running", s.processors_running},
                  {"workers", s.workers},
                  {"workers_peak", s.workers_peak},
                  {"kernel_threads", s.kernel_threads},
                  {"kernel_threads_peak", s.kernel_threads_peak},
                  {"switches", s.switches},
                  {"wake_ups", s.wake_ups},
                  {"worker_wake_ups", s.worker_wake_ups},
                  {"hand_overs", s.hand_overs},
                  {"steals", s.steals},
                  {"blocking_calls", s.blocking_calls},
                  {"blocking_nanoseconds", s.blocking_nanoseconds},
                  {"stack_reserved_bytes", s.stack_reserved_bytes},
                  {"stack_live_bytes", s.stack_live_bytes},
                  {"stack_saved_bytes", s.stack_saved_bytes},
                  {"stack_deepest_bytes", s.stack_deepest_bytes},
                  {"resident_bytes", s.resident_bytes}};
  out_.print("\"statistics\":{");
  bool first = true;
  for (const auto& figure : kFigures) {
    if (!first) out_.print(",");
    first = false;
    number(figure.name, figure.value);
  }
  out_.print("},\n");
}

void JsonDump::write_blocked_calls(const Statistics& s) {
  static constexpr const char* kKinds[] = {"region", "unhooked", "computing"};
  out_.print("\"blocked_calls\":[");
  for (int i = 0; i < kBlockedCalls && s.calls[i].name[0] != '\0'; ++i) {
    const BlockedCall& call = s.calls[i];
    out_.print("%s{", i == 0 ? "" : ",");
    text("name", call.name);
    out_.print(",");
    text("kind", kKinds[static_cast<unsigned>(call.kind) % 3]);
    out_.print(",\"calls\":%lu,\"blocked\":%lu,\"nanoseconds\":%lu}", call.calls, call.blocked,
               call.nanoseconds);
  }
  out_.print("],\n");
}

void JsonDump::write_deadlocks() {
  out_.print("\"deadlocks\":[");
  for (uint32_t deadlock = 1; deadlock <= snapshot_.deadlocks(); ++deadlock) {
    out_.print("%s[", deadlock == 1 ? "" : ",");
    uint32_t first = snapshot_.first_of(deadlock), at = first;
    do {
      const ThreadRecord& record = snapshot_.by_index(at);
      out_.print("%s{\"tid\":%d,", at == first ? "" : ",", record.tid);
      text("waits_for", wait_name(record.wait));
      out_.print(",\"object\":\"%p\",\"holder_tid\":%d}", const_cast<void*>(record.object), record.holder);
      at = record.holder_index;
    } while (at != first && at != kNone);
    out_.print("]");
  }
  out_.print("],\n");
}

void JsonDump::write_symbol(const Symbol& symbol) {
  if (symbol.name[0] != '\0') {
    out_.print(",");
    text("function", symbol.name);
    out_.print(",\"offset\":%lu", symbol.offset);
  }
  if (symbol.line != 0) {
    out_.print(",");
    text("file", symbol.file);
    out_.print(",\"line\":%u", symbol.line);
  }
  if (symbol.module[0] != '\0') {
    out_.print(",");
    text("module", symbol.module);
    out_.print(",\"module_offset\":%lu", symbol.module_offset);
  }
}

void JsonDump::write_backtraces() {
  out_.print("\"backtraces\":[");
  for (uint32_t i = 0; i < snapshot_.backtrace_count(); ++i) {
    const Backtrace& backtrace = snapshot_.backtrace(i);
    const uintptr_t* frames = snapshot_.frames(backtrace);
    out_.print("%s\n{\"threads\":%u,\"frames\":[", i == 0 ? "" : ",", backtrace.threads);
    for (size_t k = 0; k < backtrace.count; ++k) {
      out_.print("%s{\"address\":\"%p\"", k == 0 ? "" : ",", reinterpret_cast<void*>(frames[k]));
      write_symbol(frame_symbol(symbols_, frames, k));
      out_.print("}");
    }
    out_.print("]}");
  }
  out_.print("],\n");
}

void JsonDump::write_descriptor(int fd) {
  DescriptorText words;
  describe_descriptor(fd, &words);
  out_.print("{\"number\":%d", fd);
  if (words.kind[0] != '\0') {
    out_.print(",");
    text("kind", words.kind);
  }
  if (words.local[0] != '\0') {
    out_.print(",");
    text("local", words.local);
  }
  if (words.peer[0] != '\0') {
    out_.print(",");
    text("peer", words.peer);
  }
  out_.print("}");
}

void JsonDump::write_holder(const ThreadRecord& record) {
  if (record.holder != 0) out_.print(",\"holder_tid\":%d", record.holder);
  if (record.holder_index != kNone) {
    out_.print(",\"holder_id\":%lu,", snapshot_.by_index(record.holder_index).id);
    text("holder_name", snapshot_.by_index(record.holder_index).name);
  }
  if (record.readers != 0) out_.print(",\"readers\":%u", record.readers);
}

void JsonDump::write_wait(const ThreadRecord& record) {
  out_.print(",\"wait\":{");
  text("kind", record.wait == WaitKind::none ? "call" : wait_name(record.wait));
  if (record.call != nullptr) {
    out_.print(",");
    text("call", record.call);
  } else if (waits_for_descriptor(record.wait)) {
    out_.print(",\"descriptors\":[");
    write_descriptor(static_cast<int>(reinterpret_cast<intptr_t>(record.object)));
    out_.print("]");
  } else if (record.wait == WaitKind::polling) {
    constexpr size_t kShown = 16;
    int descriptors[kShown];
    size_t count = polled_descriptors(record, descriptors, kShown);
    out_.print(",\"polled\":%u,\"descriptors\":[", record.polled);
    for (size_t i = 0; i < count; ++i) {
      if (i != 0) out_.print(",");
      write_descriptor(descriptors[i]);
    }
    out_.print("]");
  } else if (record.wait != WaitKind::sleep && record.wait != WaitKind::place) {
    out_.print(",\"object\":\"%p\"", const_cast<void*>(record.object));
    write_holder(record);
  }
  out_.print(",\"timed\":%s}", record.timed ? "true" : "false");
}

void JsonDump::write_thread(const ThreadRecord& record) {
  out_.print("{\"id\":%lu,\"tid\":%d,", record.id, record.tid);
  text("name", record.name);
  out_.print(",");
  text("state", state_name(record));
  if (record.wait != WaitKind::none || record.call != nullptr) write_wait(record);
  if (record.since != 0 && snapshot_.now() >= record.since) {
    out_.print(",");
    number("state_nanoseconds", (snapshot_.now() - record.since) * 1000 / g_ticks_per_microsecond);
  }
  out_.print(",\"cpu_nanoseconds\":%lu", record.cpu_nanoseconds);
  if (record.id != 0) {
    out_.print(
        ",\"switches\":%lu,\"stack\":{\"size\":%lu,\"used\":%lu,\"touched\":%lu,\"deepest\":%lu,\"saved\":%"
        "s}",
        record.switches, record.stack_size, record.stack_used, record.stack_touched, record.stack_deepest,
        record.residency == Residency::saved ? "true" : "false");
    out_.print(",\"start\":{\"address\":\"%p\"", reinterpret_cast<void*>(record.start_routine));
    write_symbol(symbols_->look_up(record.start_routine));
    out_.print("}");
  }
  if (record.waiters != 0) out_.print(",\"waiters\":%u", record.waiters);
  if (record.cycle != 0) out_.print(",\"deadlock\":%u", record.cycle - 1);
  if (record.backtrace != kNone) out_.print(",\"backtrace\":%u", record.backtrace);
  out_.print("}");
}

void JsonDump::write_threads() {
  out_.print("\"threads\":[");
  for (size_t place = 0; place < snapshot_.count(); ++place) {
    out_.print("%s\n", place == 0 ? "" : ",");
    write_thread(snapshot_.thread(place));
  }
  out_.print("],\n");
}

void JsonDump::write(const Statistics& s) {
  out_.print("{\"format\":\"coshim-dump\",\"version\":1,");
  text("library_version", COSHIM_VERSION);
  out_.print(",\"pid\":%d,\"time\":%lu,", s.pid,
             static_cast<uint64_t>(clock_now(CLOCK_REALTIME) / 1000000000));
  number("up_nanoseconds", static_cast<uint64_t>(s.updated - s.started));
  out_.print(",\n");
  write_configuration();
  write_statistics(s);
  write_blocked_calls(s);
  write_deadlocks();
  write_backtraces();
  write_threads();
  out_.print("\"left_out\":%lu,\"complete\":true}\n", snapshot_.left_out());
}

}  // namespace

void write_json_dump(Output& out, const Snapshot& snapshot, SymbolTable* symbols,
                     const Statistics& statistics) {
  JsonDump(out, snapshot, symbols).write(statistics);
}

}  // namespace coshim

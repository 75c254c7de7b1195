// Asking a process under the shim for its statistics or a dump, by the protocol of
// runtime/diag/statistics_layout.h.
#pragma once

#include "runtime/diag/statistics_layout.h"
#include "tools/process.h"

namespace coshim::tools {

// Both give an exit status: EX_OK, or after one line EX_UNAVAILABLE (no threads yet, the program's own
// handler has the signal, another version), EX_NOINPUT (it has ended), EX_NOPERM or EX_TEMPFAIL (no answer in
// time).

class StatisticsReader {
 public:
  explicit StatisticsReader(const Process& process) : process_(process) {}
  ~StatisticsReader();
  StatisticsReader(const StatisticsReader&) = delete;
  StatisticsReader& operator=(const StatisticsReader&) = delete;
  // Figures that are newer than this call.
  int read(Statistics* result);

 private:
  int map();
  void unmap();
  bool copy(Statistics* result) const;

  const Process& process_;
  const Statistics* mapped_ = nullptr;
  int64_t seen_ = 0;  // Statistics::updated before asking
};

// Asks for a dump (kAskDump...), waits for it and writes it to descriptor `out`.
int fetch_dump(const Process& process, uint32_t what, double timeout_seconds, int out);

}  // namespace coshim::tools

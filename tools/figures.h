// The figures of the live statistics as one table: what `stats` prints in each format and `top` computes
// rates of.
#pragma once

#include <string>

#include "runtime/diag/statistics_layout.h"

namespace coshim::tools {

enum class FigureKind { gauge, counter };

struct Figure {
  const char* key;     // in JSON and text
  const char* metric;  // in Prometheus' format, without "coshim_"
  const char* label;   // name="value" or nullptr
  FigureKind kind;
  uint64_t Statistics::*value;
  double scale;  // of the metric: 1e-9 for nanoseconds, which are seconds there
  const char* help;
};
extern const Figure kFigures[];
extern const size_t kFigureCount;

const char* stack_mode_name(uint32_t mode);
const char* blocked_call_kind_name(BlockedCallKind kind);
size_t call_count(const Statistics& statistics);  // rows in use of `calls`
std::string call_name(const BlockedCall& call);   // whatever bytes the file holds

// One line of JSON. With `before`, also the counters' rates a second between the two.
std::string statistics_json(const Statistics& now, const Statistics* before);
// Prometheus' text exposition format 0.0.4. `labels`: name="value",... for every line, or nothing.
std::string statistics_prometheus(const Statistics& now, const std::string& labels);
std::string statistics_text(const Statistics& now);

// How much `value` grew a second; 0 when it did not, or no time went by.
double rate(const Statistics& now, const Statistics& before, uint64_t value_now, uint64_t value_before);

}  // namespace coshim::tools

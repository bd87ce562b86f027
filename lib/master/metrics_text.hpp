// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pass/ledger.hpp"

namespace handoff {

/// Writes Prometheus' text format, version 0.0.4. Nothing but the values of labels is escaped.
class MetricsText {
 public:
  struct Label {
    std::string_view name;
    std::string_view value;
  };
  using Labels = std::vector<Label>;

  /// Begins a metric, whose samples follow. `type` is counter, gauge or histogram.
  void begin(const char* name, const char* type, const char* help);
  void sample(std::string_view name, const Labels& labels, double value);
  /// Adds a metric of one sample.
  void add(const char* name, const char* type, const char* help, double value);

  /// The counters ledger::Totals::durations that are the buckets of a histogram. Those before the
  /// first count in the first bucket, and those after the last in that of +Inf.
  struct Buckets {
    std::size_t first;
    std::size_t last;
  };
  /// Adds the samples of a histogram that begin() has begun.
  void histogram(const std::string& name, const Labels& labels, const ledger::Totals& totals,
                 Buckets buckets);

  std::string text() && { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace handoff

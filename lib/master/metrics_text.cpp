// SPDX-License-Identifier: MIT
#include "master/metrics_text.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace handoff {
namespace {

std::string escaped(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') { text += '\\'; }
    text += c;
  }
  return text;
}

}  // namespace

void MetricsText::begin(const char* name, const char* type, const char* help) {
  text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

void MetricsText::sample(std::string_view name, const Labels& labels, double value) {
  text_ += name;
  char separator = '{';
  for (const Label& label : labels) {
    text_ += fmt::format("{}{}=\"{}\"", separator, label.name, escaped(label.value));
    separator = ',';
  }
  if (!labels.empty()) { text_ += '}'; }
  text_ += fmt::format(" {}\n", value);
}

void MetricsText::add(const char* name, const char* type, const char* help, double value) {
  begin(name, type, help);
  sample(name, {}, value);
}

/// A bucket counts the calls that took no longer than its limit, and so also those of all buckets
/// before it.
void MetricsText::histogram(const std::string& name, const Labels& labels,
                            const ledger::Totals& totals, Buckets buckets) {
  const auto add_bucket = [&](std::string_view limit, std::uint64_t count) {
    Labels all = labels;
    all.push_back({"le", limit});
    sample(name + "_bucket", all, static_cast<double>(count));
  };
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < totals.durations.size(); ++i) {
    count += totals.durations[i];
    if (i < buckets.first || i > buckets.last) { continue; }
    add_bucket(fmt::format("{}", static_cast<double>(std::uint64_t{1} << i) / 1e6), count);
  }
  add_bucket("+Inf", count);
  sample(name + "_sum", labels, static_cast<double>(totals.call_time) / 1e9);
  sample(name + "_count", labels, static_cast<double>(count));
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "os/line_limit.hpp"

#include <fmt/format.h>

#include <utility>

namespace handoff {

bool LineLimit::admits(std::string_view line, Time now) {
  if (kept_ == 0 && (said_ == 0 || now >= due())) {
    begin_ = now;
    said_ = 0;
  }
  if (kept_ == 0 && said_ < burst_) {
    ++said_;
    return true;
  }
  ++kept_;
  last_ = line;
  return false;
}

std::optional<std::string> LineLimit::take_due(Time now) {
  if (kept_ == 0 || now < due()) { return std::nullopt; }
  begin_ = now;
  said_ = burst_;
  return take_rest();
}

std::optional<std::string> LineLimit::take_rest() {
  const std::size_t kept = std::exchange(kept_, 0);
  if (kept < 2) { return kept == 0 ? std::nullopt : std::optional(std::exchange(last_, {})); }
  return fmt::format("{} (and {} more like it)", std::exchange(last_, {}), kept - 1);
}

}  // namespace handoff

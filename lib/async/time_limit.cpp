// SPDX-License-Identifier: MIT
#include "async/time_limit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace handoff {

std::string duration_text(Duration duration) {
  using std::chrono::milliseconds;
  constexpr long kSecond = 1000;
  constexpr long kMinute = 60 * kSecond;
  constexpr long kHour = 60 * kMinute;
  const long ms = std::chrono::round<milliseconds>(duration).count();
  if (ms < kSecond) { return fmt::format("{}ms", std::max(ms, 1L)); }
  if (ms >= 2 * kHour && ms % kHour == 0) { return fmt::format("{}h", ms / kHour); }
  if (ms >= 2 * kMinute && ms % kMinute == 0) { return fmt::format("{}m", ms / kMinute); }
  return fmt::format("{}s", static_cast<double>(ms) / kSecond);
}

TimeLimit::TimeLimit(TimePoint deadline) : when(deadline) {
  if (deadline != kNever) { length = std::max(Duration::zero(), deadline - Clock::now()); }
}

TimeLimit TimeLimit::after(TimePoint start, Duration length) {
  TimeLimit limit;
  limit.when = deadline_after(start, length);
  if (limit.when != kNever) { limit.length = length; }
  return limit;
}

std::string TimeLimit::text() const {
  return length > Duration::zero() ? fmt::format(" within {}", duration_text(length)) : "";
}

std::string TimeLimit::timed_out() const {
  return length > Duration::zero() ? fmt::format("timed out after {}", duration_text(length))
                                   : "timed out";
}

TimeLimit earlier(const TimeLimit& left, const TimeLimit& right) {
  return right.when < left.when ? right : left;
}

}  // namespace handoff

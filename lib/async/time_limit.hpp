// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "async/clock.hpp"

namespace handoff {

/// "30ms", "1.5s", "5m", "2h": as an option takes it, to the millisecond.
std::string duration_text(Duration duration);

/// A deadline that knows how long it was, so that a message can say so after it has passed.
struct TimeLimit {
  TimePoint when = kNever;
  Duration length{};  ///< 0: not known, or already over when it was set

  TimeLimit() = default;
  /// From now until `deadline`.
  TimeLimit(TimePoint deadline);  // NOLINT(google-explicit-constructor): a deadline is a limit
  TimeLimit(TimePoint deadline, Duration its_length) : when(deadline), length(its_length) {}
  /// A limit of this length from `start` on; none when the length is 0 or less.
  static TimeLimit after(TimePoint start, Duration length);

  /// " within 2s", or nothing when there is no length.
  std::string text() const;
  /// "timed out after 2s", or "timed out" when there is no length.
  std::string timed_out() const;
};

/// The one of both that passes first.
TimeLimit earlier(const TimeLimit& left, const TimeLimit& right);

}  // namespace handoff

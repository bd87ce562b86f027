// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "async/clock.hpp"

namespace handoff {

/// Returns a duration as an option takes it, to the millisecond: "30ms", "1.5s", "5m", "2h".
std::string duration_text(Duration duration);

/// A deadline together with its length, so that a message can name that after it has passed.
struct TimeLimit {
  TimePoint when = kNever;
  Duration length{};  ///< 0 if it is unknown, or the deadline had passed when it was set

  TimeLimit() = default;
  /// A limit from now until `deadline`.
  TimeLimit(TimePoint deadline);  // NOLINT(google-explicit-constructor): a deadline is a limit
  TimeLimit(TimePoint deadline, Duration its_length) : when(deadline), length(its_length) {}
  /// Returns a limit of this length from `start`; one that never passes if the length is 0 or less.
  static TimeLimit after(TimePoint start, Duration length);

  /// Returns " within 2s", or an empty text without a length.
  std::string text() const;
  /// Returns "timed out after 2s", or "timed out" without a length.
  std::string timed_out() const;
};

/// Returns the limit that passes first.
TimeLimit earlier(const TimeLimit& left, const TimeLimit& right);

}  // namespace handoff

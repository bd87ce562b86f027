// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace handoff {

/// Thins out lines of one kind, of which a peer could cause any number. Of those within an
/// interval, the first `burst` are said at once; of the others only the last is said, when the
/// interval is over, with the number of those that were left out. That line begins the next
/// interval, so that an endless run makes one line in each.
///
/// It has no clock: the caller passes the time. One thread at a time may use it.
class LineLimit {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `burst` is 1 or more.
  LineLimit(std::size_t burst, std::chrono::nanoseconds interval)
      : burst_(burst), interval_(interval) {}

  /// Returns whether a line is to be said at `now`. If not, it is kept.
  bool admits(std::string_view line, Time now);
  /// Returns the line for those that were kept, if there are any and their interval is over at
  /// `now`.
  std::optional<std::string> take_due(Time now);
  /// Returns the line for those that were kept even before the interval is over, for the end of the
  /// program.
  std::optional<std::string> take_rest();
  /// Returns when the interval is over.
  Time due() const { return begin_ + interval_; }

 private:
  std::size_t burst_;
  std::chrono::nanoseconds interval_;
  Time begin_{};
  std::size_t said_ = 0;  ///< lines said in this interval; 0 before the first one
  std::size_t kept_ = 0;
  std::string last_;
};

}  // namespace handoff

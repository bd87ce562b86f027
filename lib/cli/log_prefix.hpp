// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "os/log.hpp"

namespace handoff {

/// What each line of a log begins with: the priority for the journal and the time, if they are
/// wanted, and the name of the program.
class LogPrefix {
 public:
  using Time = std::chrono::system_clock::time_point;

  explicit LogPrefix(std::string name) : name_(std::move(name)) {}

  void set_name(std::string name) { name_ = std::move(name); }
  /// Begins lines with the local time, as in "2026-11-28T10:27:16.123+0000 ".
  void show_times() { shows_times_ = true; }
  /// Begins lines with "<3>", "<6>" or "<7>", by which the journal tells an error from information
  /// and from details (sd-daemon(3)).
  void show_priorities() { shows_priorities_ = true; }

  /// Returns the prefix of a line that is written at `now`: "tool: ", after the other parts.
  std::string of_line(Severity severity, Time now) const;
  /// Returns that of a line without the name.
  std::string of_nameless_line(Severity severity, Time now) const;

 private:
  std::string name_;
  bool shows_times_ = false;
  bool shows_priorities_ = false;
};

}  // namespace handoff

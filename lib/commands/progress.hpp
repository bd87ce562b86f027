// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <handoff/async/reactor.hpp>

#include "cli/stderr_log.hpp"

namespace handoff {

/// The progress of a program that answers the lines of its stdin.
struct LineCounts {
  std::uint64_t answered = 0;
  std::uint64_t errors = 0;  ///< how many of these were answered with an error
};

/// The part of stdin that has been read. Nothing is known if stdin is not a regular file.
struct InputShare {
  std::uint64_t read = 0;  ///< bytes from where the program began to read
  std::uint64_t size = 0;  ///< bytes from there to the end; 0 if that is not known
};

/// Describes the progress in a line: "1200 lines, 300/s, 2 errors, 40% read, 6s left".
std::string describe_progress(const LineCounts& counts, const InputShare& input, Duration elapsed);

/// Shows the progress of a program in its log: on a terminal in one line that changes each second,
/// elsewhere in a line every ten seconds.
class Progress final : private Timer {
 public:
  using Count = std::function<LineCounts()>;

  /// `count` is called whenever something is shown. It, the reactor and `log` must outlive this
  /// object. Nothing is shown before start().
  Progress(Reactor& reactor, StderrLog& log, Count count);

  /// Shows the progress periodically from now on.
  void start();
  /// Shows the progress for the last time, if it was started. Call it when everything is done.
  void finish();
  /// Shows the progress once.
  void show_once() { log_.plain(describe()); }

 private:
  std::string describe() const;
  void on_timer() override;

  StderrLog& log_;
  Count count_;
  TimePoint begun_;
  /// The offset in stdin at which this program began to read; -1: not a regular file.
  std::int64_t first_;
  bool started_ = false;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <handoff/async/reactor.hpp>
#include <handoff/async/timer.hpp>
#include <handoff/os/fd.hpp>

#include "cli/log_prefix.hpp"
#include "os/log.hpp"

namespace handoff {

/// Writes what a tool says to its user: lines on standard error, "tool: text". One thread uses it.
/// If standard error leads to the journal, each line has its priority for that.
///
/// A text is always one line: peers, file names and other programs contribute to it, so it is
/// written as printable() returns it.
///
/// Writing blocks until the line is written, unless never_wait() was called.
class StderrLog {
 public:
  /// How much is written: with -q, without options, with -v.
  enum class Level { quiet, normal, verbose };

  /// Writes to the descriptor `number`, which the caller keeps open.
  explicit StderrLog(std::string tool, int number = STDERR_FILENO);

  void set_level(Level level) { level_ = level; }
  Level level() const { return level_; }
  /// Sets the name that lines begin with from now on.
  void set_name(std::string name) { prefix_.set_name(std::move(name)); }
  /// Makes lines begin with the local time from now on, before the name.
  void show_times() { prefix_.show_times(); }

  /// These write a line if the level includes it: errors always, information unless -q, details
  /// only with -v.
  void error(std::string_view text) { say(Severity::error, text); }
  void info(std::string_view text) {
    if (level_ >= Level::normal) { say(Severity::info, text); }
  }
  void detail(std::string_view text) {
    if (level_ >= Level::verbose) { say(Severity::detail, text); }
  }
  /// Writes a line of this severity whatever the level.
  void say(Severity severity, std::string_view text);
  /// Writes a line that does not begin with the tool's name. On a terminal it replaces the "^\"
  /// that the terminal shows when the user has asked for the line by a key.
  void plain(std::string_view text);

  /// Returns whether lines are written to a terminal.
  bool is_terminal() const { return isatty(number_) != 0; }
  /// Shows a text below the lines until it is replaced, on a terminal alone. An empty text ends it.
  void set_status(std::string_view text);

  /// Makes the log write a line only if that is possible without waiting. A line that is not
  /// written is dropped and counted, and the first line that can be written again follows one with
  /// the count. So a log that is full, or whose reader has ended, costs a server lines and nothing
  /// else. The program must ignore SIGPIPE and SIGXFSZ; see prepare_to_run_long().
  void never_wait();

  /// Writes how many lines were dropped, if any were. Returns whether that was written or there was
  /// nothing to write.
  bool catch_up();
  /// Sets what is called when a line is dropped and none was before, or since catch_up() returned
  /// true.
  void on_drop(std::function<void()> callback) { on_drop_ = std::move(callback); }

 private:
  void write_line(std::string_view line);
  bool try_write(std::string_view bytes);

  LogPrefix prefix_;
  int number_;
  Level level_ = Level::normal;
  bool waits_ = true;
  /// The same pipe or terminal, opened once more with O_NONBLOCK; see never_wait().
  Fd nonblocking_;
  std::string status_;  ///< the text below the lines
  bool cut_ = false;    ///< the last line was not written to its end
  std::uint64_t dropped_ = 0;
  int error_ = 0;  ///< the errno for which the last line was dropped
  std::function<void()> on_drop_;
};

/// Makes a log write how many lines it has dropped, within a second of when it can, even if nothing
/// else is logged. The log and the reactor must outlive it.
class DropNotice final : private Timer {
 public:
  DropNotice(Reactor& reactor, StderrLog& log);
  DropNotice(const DropNotice&) = delete;
  DropNotice& operator=(const DropNotice&) = delete;
  ~DropNotice() { log_.on_drop(nullptr); }

 private:
  void try_soon();
  void on_timer() override;

  StderrLog& log_;
};

/// Returns a function that writes the lines of a life cycle to the log, as its level allows. The
/// log must outlive the function.
Report report_to(StderrLog& log);

}  // namespace handoff

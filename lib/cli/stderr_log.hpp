// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "async/reactor.hpp"
#include "async/timer.hpp"
#include "os/fd.hpp"
#include "os/log.hpp"

namespace handoff {

/// What a tool says to its user: lines on standard error, "tool: text". Used by one thread.
///
/// A text is one line whatever is in it: peers, file names and other programs have their words in
/// it, so it is written as printable() has it.
///
/// A line is waited for until it is written, unless never_wait() was called.
class StderrLog {
 public:
  /// How much is said: -q, neither, -v.
  enum class Level { quiet, normal, verbose };

  /// `number` is the descriptor to write to, which stays the caller's.
  explicit StderrLog(std::string tool, int number = STDERR_FILENO)
      : tool_(std::move(tool)), number_(number) {}

  void set_level(Level level) { level_ = level; }
  Level level() const { return level_; }

  void error(std::string_view text) { write(text); }
  void info(std::string_view text) {
    if (level_ >= Level::normal) { write(text); }
  }
  void detail(std::string_view text) {
    if (level_ >= Level::verbose) { write(text); }
  }
  /// Writes a line that does not begin with the tool's name; on a terminal, over the "^\" that the
  /// terminal shows when the user has asked for it by a key.
  void plain(std::string_view text);

  /// From now on a line is written only if that is possible at once. A line that is not written is
  /// dropped and counted; the first line that can be written again follows one with the count. A
  /// log that is full, or whose reader has ended, so costs a server lines and nothing else. The
  /// program must ignore SIGPIPE and SIGXFSZ; see prepare_to_run_long().
  void never_wait();

  /// Says how many lines were dropped, if any were. Returns whether nothing is left to say.
  bool catch_up();
  /// Is called when a line is dropped and none was before, or since catch_up() returned true.
  void on_drop(std::function<void()> callback) { on_drop_ = std::move(callback); }

 private:
  void write(std::string_view text);
  void write_line(std::string_view line);
  bool try_write(std::string_view bytes);

  std::string tool_;
  int number_;
  Level level_ = Level::normal;
  bool waits_ = true;
  /// The same pipe or terminal, opened once more, without waiting; see never_wait().
  Fd nonblocking_;
  bool cut_ = false;  ///< the last line that was begun has no end
  std::uint64_t dropped_ = 0;
  int error_ = 0;  ///< why the last line was dropped, as errno
  std::function<void()> on_drop_;
};

/// Has a log say how many lines it has dropped within a second of when it can, even if nothing else
/// is said. The log must outlive it.
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

/// The lines of a life cycle, said as the log's level allows. The log must outlive it.
Report report_to(StderrLog& log);

}  // namespace handoff

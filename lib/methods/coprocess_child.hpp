// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <handoff/async/event.hpp>
#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/async/task.hpp>
#include <handoff/rpc/call.hpp>

#include "methods/child_runner.hpp"
#include "methods/stderr_lines.hpp"
#include "wire/byte_queue.hpp"

namespace handoff {

/// How long a call waits for a process besides its deadline.
struct CoprocessTimes {
  /// How long a new process must be silent after its first answer.
  Duration settle = std::chrono::milliseconds(5);
  /// How long a process may take to end after it has closed its output.
  Duration exit = std::chrono::milliseconds(100);
};

/// The phase of a coprocess's process.
enum class CoprocessPhase {
  fresh,   ///< its first call waits; the answer must be followed by silence
  busy,    ///< a later call waits
  idle,    ///< it waits for a call
  exited,  ///< it has ended by itself during a call; its pipes may still have output
  over,    ///< it was killed and reaped, and nothing waits for it
};

/// What happens to a coprocess's process.
enum class CoprocessEvent {
  lent,       ///< a call takes it
  answered,   ///< its call is over, and it can get another
  failed,     ///< its call is over or was dropped, and it cannot get another
  exited,     ///< it has ended by itself, or cannot be watched any more
  discarded,  ///< its owner does not want it any more
};

/// Returns the phase after the event; the old phase if the event changes nothing.
CoprocessPhase next_phase(CoprocessPhase phase, CoprocessEvent event);

/// How much of its answer to a call a process has written.
enum class Written { nothing, part };

/// One process of a coprocess, with this side's ends of its pipes. It is shared with the coroutines
/// that wait for it, which end when it is over. Used on the reactor's thread only.
class CoprocessChild : public std::enable_shared_from_this<CoprocessChild> {
 public:
  /// Starts the process, and watches it. `log` is called with each line that it writes to its
  /// stderr. Throws SystemError.
  static std::shared_ptr<CoprocessChild> start(Reactor& reactor, const StartChild& start,
                                               StderrLines::Say log = {});

  CoprocessPhase phase() const { return phase_; }
  /// Changes the phase as next_phase() says. Nothing else changes it.
  void handle(CoprocessEvent event);

  /// Returns whether the process has neither ended nor written anything since its last call. Call
  /// it only while it is idle; `buffer` is overwritten. Does not block.
  bool is_quiet(std::span<char> buffer);
  /// Writes a line to the process without blocking. A coroutine writes what does not fit into the
  /// pipe now, because the process may write before it has read everything.
  void ask(std::string_view line);
  /// Returns whether everything was written to its pipe.
  bool has_read_all() const { return unsent_.empty(); }

  /// Reads once from its stdout, without blocking.
  IoResult try_read(std::span<char> buffer) { return out_.try_read(buffer); }
  /// `co_await readable()` gives false if the end of the process or a deadline of watcher() has
  /// interrupted the wait.
  auto readable() { return out_.readable(); }
  FdWatcher& watcher() { return out_.watcher(); }

  /// Returns why a call has failed during which the process has closed its output, which most do by
  /// ending. Waits for that end, at most `exit_time`; the process is over afterwards.
  static Task<Result> result_of_end(std::shared_ptr<CoprocessChild> child, Duration exit_time);
  /// Returns why a call has failed during which the process has written no complete line, or
  /// nothing at all.
  Result too_late(Written written) const;
  /// Returns how the process has ended. Call it only when it is over.
  ExitStatus status() const { return status_; }
  /// Returns the end of what it has written to its stderr.
  const std::string& error_tail() const { return error_tail_; }

 private:
  /// Our ends of its pipes.
  struct Ends {
    Fd in;
    Fd out;
    Fd err;
  };

  CoprocessChild(Reactor& reactor, Ends ends, std::unique_ptr<ChildRunner::Child> child,
                 StderrLines::Say log);

  void enter(CoprocessPhase next);
  Task<bool> wait_for_exit(TimePoint deadline);
  void end();
  IoResult take_errors();
  static Task<void> watch_exit(std::shared_ptr<CoprocessChild> self);
  static Task<void> collect_errors(std::shared_ptr<CoprocessChild> self);
  static Task<void> write_rest(std::shared_ptr<CoprocessChild> self);

  Reactor& reactor_;
  CoprocessPhase phase_ = CoprocessPhase::fresh;
  std::unique_ptr<ChildRunner::Child> child_;
  Fd exit_fd_;        ///< a copy of the pidfd: the process may be reaped while watch_exit() waits
  FdWatcher exited_;  ///< watches exit_fd_
  Stream in_;
  Stream out_;
  Stream err_;
  Event exit_;
  ByteQueue unsent_;
  std::string error_tail_;
  StderrLines error_lines_;
  ExitStatus status_;
};

}  // namespace handoff

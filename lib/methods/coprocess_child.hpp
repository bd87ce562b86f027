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

/// How long a coprocess is waited for, besides the deadlines of its calls.
struct CoprocessTimes {
  Duration settle = std::chrono::milliseconds(5);  ///< a fresh one is quiet after its first answer
  Duration exit = std::chrono::milliseconds(100);  ///< it ends after it has closed its output
};

/// Where a process of a coprocess is between its start and its end.
enum class CoprocessPhase {
  fresh,   ///< its first call waits; the answer to that must be followed by silence
  busy,    ///< a later call waits
  idle,    ///< it waits for a call
  exited,  ///< it has ended by itself in a call; what it wrote before may still be in its pipes
  over,    ///< it was killed and reaped, and nothing waits for it
};

/// What happens to a process of a coprocess.
enum class CoprocessEvent {
  lent,       ///< a call takes it
  answered,   ///< its call is over, and it may have another
  failed,     ///< its call is over or was dropped, and it may not
  exited,     ///< it has ended by itself, or can't be watched any more
  discarded,  ///< its owner wants it no more
};

/// The phase after the event; the same phase when the event changes nothing.
CoprocessPhase next_phase(CoprocessPhase phase, CoprocessEvent event);

/// How much a process has written in answer to a call.
enum class Written { nothing, part };

/// One running process of a coprocess, with our ends of its pipes. Shared with the coroutines that
/// wait for them, which end when it is over.
class CoprocessChild : public std::enable_shared_from_this<CoprocessChild> {
 public:
  /// Starts the process, and watches it. `log` is called with each line that it writes to its
  /// stderr. Throws SystemError.
  static std::shared_ptr<CoprocessChild> start(Reactor& reactor, const StartChild& start,
                                               StderrLines::Say log = {});

  CoprocessPhase phase() const { return phase_; }
  /// The only way to another phase.
  void handle(CoprocessEvent event);

  /// Whether it has neither ended nor written anything since its last call. Does not block. Only
  /// while it is idle.
  bool is_quiet(std::span<char> buffer);
  /// Writes a line to it. What does not fit now is written later: it may write before it has read
  /// everything.
  void ask(std::string_view line);
  /// Whether it has read all that was written to it, as far as our side can tell.
  bool has_read_all() const { return unsent_.empty(); }

  IoResult try_read(std::span<char> buffer) { return out_.try_read(buffer); }
  /// `co_await readable()`: false when its end or a deadline of watcher() has interrupted.
  auto readable() { return out_.readable(); }
  FdWatcher& watcher() { return out_.watcher(); }

  /// Why a call has failed during which the process has closed its output, which most do by ending.
  /// Waits a moment for that end; the process is over then.
  static Task<Result> result_of_end(std::shared_ptr<CoprocessChild> child, Duration exit_time);
  /// Why a call has failed during which the process has written no whole line, or nothing at all.
  Result too_late(Written written) const;
  /// How it ended; only when it is over.
  ExitStatus status() const { return status_; }
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
  FdWatcher exited_;  ///< of exit_fd_
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

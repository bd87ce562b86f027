// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <csignal>
#include <initializer_list>
#include <optional>
#include <vector>

#include "os/fd.hpp"

namespace handoff {

/// A signal, and who has sent it.
struct ReceivedSignal {
  /// Who sends signals by key (^C) or because a terminal hangs up: each process of a group gets it.
  enum class From { process, kernel };

  int number = 0;
  From from = From::process;
  pid_t sender = 0;  ///< 0 when it is the kernel, or of another pid namespace
};

/// Blocks the given signals, and no other, for as long as it lives, or until the process ends, and
/// lets them be read from a signalfd(2).
///
/// - It blocks them in the thread that makes it; threads that are started later inherit that. So a
///   program makes it before any thread. Of several masks the last one made ends first.
/// - While it lives, a signal that is ignored waits to be read as well. A signal that comes again
///   before it is read is still one: SIGCHLD says that some children have ended, not how many.
/// - SIGCHLD gets its default disposition, whether it is among the signals or not, and keeps that:
///   a parent that ignores it passes this on, and then the kernel reaps our children unseen. It is
///   blocked and read only if it is among the signals.
/// - A signal that waits unread when the mask is destroyed takes effect then, by its disposition.
/// - spawn() gives children an empty mask and none of the waiting signals. A child that is made in
///   another way, as by fork(2), inherits the blocked signals.
class SignalMask {
 public:
  /// A program that has decided its exit status blocks until `exit`: a signal that comes after that
  /// must not change it.
  enum class Until { destroyed, exit };

  SignalMask(std::initializer_list<int> signals, Until until = Until::destroyed)
      : SignalMask(std::vector<int>(signals), until) {}
  /// Throws SystemError; then no signal is blocked.
  explicit SignalMask(const std::vector<int>& signals, Until until = Until::destroyed);
  ~SignalMask();
  SignalMask(const SignalMask&) = delete;
  SignalMask& operator=(const SignalMask&) = delete;

  /// Readable while a signal waits. Non-blocking; owned by this object.
  int fd() const { return fd_.get(); }
  /// The next waiting signal, or nothing. Does not block.
  std::optional<int> try_read() const;
  /// The same, with its sender.
  std::optional<ReceivedSignal> try_receive() const;

 private:
  sigset_t before_;
  Until until_;
  Fd fd_;
};

/// Has us end by `signal`, as if nobody had waited for it. While it is blocked, that is put off
/// until its SignalMask ends.
void end_by_signal(int signal);

}  // namespace handoff

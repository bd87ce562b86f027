// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <csignal>
#include <initializer_list>
#include <optional>
#include <vector>

#include "os/fd.hpp"

namespace handoff {

/// A signal and its sender.
struct ReceivedSignal {
  /// What has sent a signal. The kernel sends one for a key (^C) or a terminal that hangs up, to
  /// each process of a group.
  enum class From { process, kernel };

  int number = 0;
  From from = From::process;
  pid_t sender = 0;  ///< 0 if it is the kernel, or in another PID namespace
};

/// Blocks the given signals, and no other, for as long as the object lives or until the process
/// ends, and lets them be read from a signalfd(2).
///
/// - It blocks them in the thread that makes it; threads that are started later inherit that. So a
///   program makes it before any thread. Of several masks the last one made must be destroyed
///   first.
/// - While it lives, a signal that is ignored waits to be read as well. A signal that arrives again
///   before it is read is still one: SIGCHLD says that some children have ended, not how many.
/// - SIGCHLD gets its default disposition, even if it is not among the signals, and keeps that: a
///   parent that ignores it passes this on, and then the kernel reaps children before their owner
///   does. It is blocked and read only if it is among the signals.
/// - A signal that is unread when the mask is destroyed takes effect then, by its disposition.
/// - spawn() gives children an empty mask and none of the waiting signals. A child that is made in
///   another way, as by fork(2), inherits the blocked signals.
class SignalMask {
 public:
  /// Says until when the signals are blocked. A program that has decided its exit status blocks
  /// them until `exit`, so that a later signal does not change it.
  enum class Until { destroyed, exit };

  SignalMask(std::initializer_list<int> signals, Until until = Until::destroyed)
      : SignalMask(std::vector<int>(signals), until) {}
  /// Throws SystemError if the kernel gives no signalfd; then no signal is blocked.
  explicit SignalMask(const std::vector<int>& signals, Until until = Until::destroyed);
  ~SignalMask();
  SignalMask(const SignalMask&) = delete;
  SignalMask& operator=(const SignalMask&) = delete;

  /// Returns a descriptor that is readable while a signal waits. Non-blocking; owned by this
  /// object.
  int fd() const { return fd_.get(); }
  /// Returns the next waiting signal, or nothing. Does not block.
  std::optional<int> try_read() const;
  /// Returns the next waiting signal with its sender, or nothing. Does not block.
  std::optional<ReceivedSignal> try_receive() const;

 private:
  sigset_t before_;
  Until until_;
  Fd fd_;
};

/// Ends this process by `signal`, as if the signal were not handled. While it is blocked the end is
/// put off until its SignalMask is destroyed, and the function returns.
void end_by_signal(int signal);

}  // namespace handoff

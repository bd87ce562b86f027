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

/// Blocks the given signals for as long as it lives, or until the process ends, and lets them be
/// read from a signalfd(2). Made before any thread or child exists; children get an empty mask from
/// spawn().
class SignalMask {
 public:
  /// A program that has decided its exit status blocks until `exit`: a signal that comes after that
  /// must not change it.
  enum class Until { destroyed, exit };

  SignalMask(std::initializer_list<int> signals, Until until = Until::destroyed)
      : SignalMask(std::vector<int>(signals), until) {}
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

// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <initializer_list>
#include <optional>
#include <vector>

#include "os/fd.hpp"

namespace handoff {

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

 private:
  sigset_t before_;
  Until until_;
  Fd fd_;
};

/// Has us end by `signal`, as if nobody had waited for it. While it is blocked, that is put off
/// until its SignalMask ends.
void end_by_signal(int signal);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/process.hpp"

namespace handoff {

/// The command of an exec: address, which ends with whatever uses it: at the end of its input by
/// itself, or else it is ended, and its descendants with it. A process that has left it, as a
/// daemon does, is left alone.
class ExecChild {
 public:
  /// The reactor must outlive it.
  ExecChild(Reactor& reactor, Child child) : reactor_(&reactor), child_(std::move(child)) {}
  ExecChild(ExecChild&& other) noexcept;
  ExecChild& operator=(ExecChild&&) = delete;
  /// Blocks, for at most about two seconds, until it has ended.
  ~ExecChild();

  /// Waits for a moment, in case it has closed its output by ending. Returns whether it has.
  Task<bool> ended();
  /// Once it has.
  const ExitStatus& status() const { return status_; }

  /// Waits until the command has ended, and ends it if it takes too long. What is left to do when
  /// the task is destroyed is done then, blocking.
  static Task<void> end(ExecChild child);

 private:
  void reap();

  Reactor* reactor_;
  Child child_;
  ExitStatus status_;
  bool reaped_ = false;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include "async/condition.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/child.hpp"

namespace handoff {

/// The command of an exec: address, which ends with whatever uses it: at the end of its input by
/// itself, or else it is ended, and its descendants with it. A process that has left it, as a
/// daemon does, is left alone.
class ExecChild {
 public:
  /// The reactor must outlive it. The command is reaped as soon as it ends.
  ExecChild(Reactor& reactor, Child child);
  ExecChild(ExecChild&&) noexcept = default;
  ExecChild& operator=(ExecChild&&) = delete;
  /// Blocks, for at most about two seconds, until it has ended.
  ~ExecChild();

  /// Waits for a moment, in case it has closed its output by ending. Returns whether it has.
  Task<bool> ended();
  /// How the command ended; only valid once it has.
  const ExitStatus& status() const { return process_->status; }

  /// Waits until the command has ended, and ends it if it takes too long. What is left to do when
  /// the task is destroyed is done then, blocking.
  static Task<void> end(ExecChild child);

 private:
  struct Process {
    Process(Reactor& its_reactor, Child its_child)
        : reactor(its_reactor), child(std::move(its_child)), changed(its_reactor) {}
    void reap();
    Task<bool> wait_until_reaped(TimePoint deadline);

    Reactor& reactor;
    Child child;
    ExitStatus status;
    bool reaped = false;
    Condition changed;
  };

  static Task<void> reap_at_end(std::shared_ptr<Process> process);

  std::shared_ptr<Process> process_;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include "async/condition.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/child.hpp"

namespace handoff {

/// The command of an exec: address. It ends with the object: at the end of its input it should end
/// by itself; if it does not, it is killed together with its descendants. A process that has left
/// the command, as a daemon does, is left alone.
class ExecChild {
 public:
  /// Takes over the command, which is reaped as soon as it ends. The reactor must outlive this
  /// object.
  ExecChild(Reactor& reactor, Child child);
  ExecChild(ExecChild&&) noexcept = default;
  ExecChild& operator=(ExecChild&&) = delete;
  /// Ends the command: waits a second for it, then sends SIGTERM, and a second later SIGKILL.
  /// Blocks for at most about two seconds, and then until the command has been reaped.
  ~ExecChild();

  /// Waits for at most a second for the command to end, since a command closes its output a moment
  /// before it has ended. Returns whether it has ended.
  Task<bool> ended();
  /// Returns how the command ended; valid only after it has.
  const ExitStatus& status() const { return process_->status; }

  /// Ends the command as the destructor does, but without blocking. If the task is destroyed
  /// earlier, the destructor does the rest, and blocks.
  static Task<void> end(ExecChild child);

 private:
  /// What the object shares with the coroutine that reaps the command, which may outlive the
  /// object.
  struct Process {
    Process(Reactor& its_reactor, Child its_child)
        : reactor(its_reactor), child(std::move(its_child)), changed(its_reactor) {}
    /// Reaps the command, and wakes all that wait for its end. Blocks until it has ended.
    void reap();
    Task<bool> wait_until_reaped(TimePoint deadline);

    Reactor& reactor;
    Child child;
    ExitStatus status;
    bool reaped = false;
    Condition changed;
  };

  /// Waits for the end of the command and reaps it.
  static Task<void> reap_at_end(std::shared_ptr<Process> process);

  std::shared_ptr<Process> process_;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>

#include "os/child_claim.hpp"
#include "os/fd.hpp"

namespace handoff {

/// How a child ended.
struct ExitStatus {
  int code = 0;    ///< the exit status, if `signal` is 0
  int signal = 0;  ///< the signal that killed the child, or 0

  bool success() const { return code == 0 && signal == 0; }
  /// Returns "exit status 3" or "signal 9 (Killed)".
  std::string text() const;
};

/// A child process that is not yet reaped, and the claim to reap it. Its pidfd shows that it has
/// ended; no signal is sent after that, so none reaches a process that was given the same number.
/// Destroying the object neither kills nor reaps the child: reap_orphans() may reap it then.
class Child {
 public:
  Child() = default;
  Child(pid_t pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)), claim_(pid) {}

  pid_t pid() const { return pid_; }
  /// Readable once the child has ended. Owned by this object.
  int pidfd() const { return pidfd_.get(); }

  /// Sends a signal; does nothing if the child has ended.
  void kill(int signal) const;
  /// Sends a signal to the child's process group. Call it only before the child is reaped: its
  /// number keeps the group's number from being used again.
  void kill_group(int signal) const;
  /// Sends a signal to the child and its descendants, except those whose parent has ended. On a
  /// kernel without /proc/PID/task/TID/children only the child gets it. Does nothing if the child
  /// has ended.
  void kill_tree(int signal) const;
  /// Returns whether the child has ended, without reaping it. Does not block.
  bool has_ended() const;
  /// Reaps the child and returns how it ended. Blocks until it has ended. Closes the pidfd. Throws
  /// SystemError.
  ExitStatus reap();

 private:
  pid_t pid_ = -1;
  Fd pidfd_;
  ChildClaim claim_;
};

/// A child that has ended and was reaped.
struct ReapedChild {
  pid_t pid;
  ExitStatus status;
};
/// Reaps one child, which may be an adopted orphan; returns nothing if none has ended. Only for a
/// process that has no Child, whose owner could not reap it any more. Does not block.
std::optional<ReapedChild> reap_any_child();

}  // namespace handoff

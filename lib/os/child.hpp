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
  int code = 0;    ///< its exit status, when signal is 0
  int signal = 0;  ///< the signal that killed it, or 0

  bool success() const { return code == 0 && signal == 0; }
  /// "exit status 3", "signal 9 (Killed)".
  std::string text() const;
};

/// A child process, not yet reaped, and the claim to reap it. Its pidfd tells that it has ended; no
/// signal is sent after that, so none reaches a process that was given the same number. Destroying
/// it neither kills nor reaps: reap_orphans() may do that then.
class Child {
 public:
  Child() = default;
  Child(pid_t pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)), claim_(pid) {}

  pid_t pid() const { return pid_; }
  /// Readable once the child has ended. Owned by this object.
  int pidfd() const { return pidfd_.get(); }

  /// Sends a signal; nothing happens when it has ended already.
  void kill(int signal) const;
  /// Sends a signal to its whole group. Only before it is reaped: its number keeps the group's
  /// from being used again.
  void kill_group(int signal) const;
  /// Sends a signal to it, and to its descendants. Those whose parent has ended are not among them;
  /// on a kernel without /proc/PID/task/TID/children only itself. Nothing happens when it has ended
  /// already.
  void kill_tree(int signal) const;
  /// Whether it has ended, without reaping it. Does not block.
  bool has_ended() const;
  /// Reaps it; blocks until it has ended.
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
/// Reaps one child, also an adopted orphan; returns nothing when none has ended. Only for a process
/// without a Child: its owner could reap it no more. Does not block.
std::optional<ReapedChild> reap_any_child();

}  // namespace handoff

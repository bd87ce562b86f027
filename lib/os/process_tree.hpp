// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "os/child.hpp"
#include "os/status.hpp"

namespace handoff {

/// Makes this process adopt each descendant that outlives its own parent (prctl(2),
/// PR_SET_CHILD_SUBREAPER): such an orphan becomes a child of this process. Fails if the kernel or
/// a seccomp profile refuses that; a process tree then consists of its leader and the leader's
/// process group.
Status adopt_orphans();

/// Reaps the adopted orphans that have ended; call it at SIGCHLD. It leaves children with a claim
/// (ChildClaim) to their owners, and those in the session of this process to the code that has made
/// them, unless they were children before adopt_orphans(). Does not block. Does nothing on a kernel
/// without /proc/PID/task/TID/children.
void reap_orphans();

/// A child, which leads a session of its own, and all its descendants that are in that session or
/// have its mark (see ProcessMarks). A process that has left both is not found, nor is one that
/// this process may not signal. The object owns the leader, and does not reap it while anything
/// else is left, so that its number stands for its group and its session until then. Destroying the
/// object ends no process. One thread uses it at a time.
class ProcessTree {
 public:
  ProcessTree() = default;
  ProcessTree(Child leader, std::string mark)
      : leader_(std::move(leader)), mark_(std::move(mark)) {}

  /// Returns the process id of the leader.
  pid_t pid() const { return leader_.pid(); }
  /// Returns a descriptor that is readable once the leader has ended. Owned by this object; -1 once
  /// the leader was reaped.
  int pidfd() const { return leader_.pidfd(); }
  bool leader_has_ended() const { return leader_.has_ended(); }

  /// Returns whether no process of the tree is left. Processes that the leader has left behind
  /// become children of this process before the leader's end can be seen; the others later, each
  /// with a SIGCHLD.
  bool is_empty() const;
  /// Sends SIGTERM to the leader's group and to the orphans that have left it: once to each,
  /// because a second one has a meaning of its own for many programs. Call it again at SIGCHLD.
  void term();
  /// Sends SIGKILL to the group and the orphans. What those leave behind becomes children of this
  /// process: call it again at SIGCHLD until the tree is empty.
  void kill();
  /// Reaps the leader. Blocks until it has ended.
  ExitStatus reap() { return leader_.reap(); }
  /// Kills everything and reaps the leader. Blocks for as long as a killed process takes to die.
  ExitStatus finish();

 private:
  std::vector<pid_t> orphans() const;
  bool has(pid_t pid) const;

  Child leader_;
  std::string mark_;
  bool group_was_told_ = false;  ///< the group was sent SIGTERM
  std::set<pid_t> orphans_told_;
};

}  // namespace handoff

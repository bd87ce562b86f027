// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "os/child.hpp"
#include "os/status.hpp"

namespace handoff {

/// From now on a descendant that outlives its own parent becomes a child of this process (prctl(2),
/// PR_SET_CHILD_SUBREAPER): an adopted orphan. Fails when the kernel or a seccomp profile
/// refuses that. Then a process tree consists of its leader and the leader's process group.
Status adopt_orphans();

/// Reaps the adopted orphans that have ended; to be called at SIGCHLD. Children with a claim
/// (ChildClaim) are left to their owners, and those in our own session to the code that has made
/// them there, unless they were our children before adopt_orphans(). Does not block. Does nothing
/// on a kernel without /proc/PID/task/TID/children.
void reap_orphans();

/// A child, which leads a session of its own, and everything that it starts: what is in its
/// session, and what has its mark (see ProcessMarks). A process that has left both is not found,
/// nor is one that we may not signal. Owns the leader, and keeps it from being reaped as long as
/// anything else is left: so its number stands for its group and its session until then.
/// Destroying it ends nothing. One thread uses it at a time.
class ProcessTree {
 public:
  ProcessTree() = default;
  ProcessTree(Child leader, std::string mark)
      : leader_(std::move(leader)), mark_(std::move(mark)) {}

  /// The leader's.
  pid_t pid() const { return leader_.pid(); }
  /// Readable once the leader has ended. Owned by this object; -1 once it was reaped.
  int pidfd() const { return leader_.pidfd(); }
  bool leader_has_ended() const { return leader_.has_ended(); }

  /// Whether nothing lives any more. What the leader has left behind comes to us before its end can
  /// be seen; the rest later, each with a SIGCHLD.
  bool is_empty() const;
  /// Sends SIGTERM to the leader's group, and to the orphans that have left it: once to each, for a
  /// second one has a meaning of its own for many programs. Call it again at SIGCHLD.
  void term();
  /// Kills the group and the orphans. What those leave behind comes to us: call it again at SIGCHLD
  /// until the tree is empty.
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
  bool group_was_told_ = false;  ///< to end, by SIGTERM
  std::set<pid_t> orphans_told_;
};

}  // namespace handoff

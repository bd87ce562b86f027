// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "os/child_claim.hpp"
#include "os/fd.hpp"

namespace handoff {

/// How a child is started. Whatever is not asked for is as a shell would give it: an empty
/// signal mask, default dispositions, the descriptor limit that we were started with.
struct SpawnOptions {
  std::vector<std::string> argv;         ///< argv[0] is looked up in PATH
  std::string path;                      ///< what is executed instead of argv[0], unless empty
  std::vector<std::string> environment;  ///< "NAME=value", complete
  /// (our descriptor, the child's number). The child has these and no other.
  std::vector<std::pair<int, int>> descriptors;
  /// A session and a process group of its own: ^C on our terminal does not reach it, and kill_group
  /// does. Without a terminal it is not stopped when it writes to one (`stty tostop`), as a
  /// background job is.
  bool new_group = true;
  bool no_new_privileges = false;
  /// LISTEN_PID with the child's own number is added to its environment (sd_listen_fds(3)).
  bool listen_pid = false;
  /// Sent to the child when the thread that spawns it ends (prctl(2), PR_SET_PDEATHSIG).
  int parent_death_signal = 0;
};

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

/// The only place that creates a process: as vfork, then execve. Returns when the child has
/// executed its program. Throws SystemError ("cannot run NAME: ...") when it can't be executed,
/// with the errno that execve(2) gave: a file that is no program (ENOEXEC) is not given to a shell;
/// when a step before that fails, the error names that step. Call it from the main thread.
Child spawn(const SpawnOptions& options);

/// A child that has ended and was reaped.
struct ReapedChild {
  pid_t pid;
  ExitStatus status;
};
/// Reaps one child, also an adopted orphan; returns nothing when none has ended. Only for a process
/// without a Child: its owner could reap it no more. Does not block.
std::optional<ReapedChild> reap_any_child();

/// Becomes the program: only `argv`, `environment`, `descriptors` and `listen_pid` count; what is
/// not mentioned stays as it is. Returns only by throwing SystemError ("cannot run NAME: ...").
[[noreturn]] void become(const SpawnOptions& options);

/// Where the shell would find `name`: itself when it has a slash, else in PATH. Throws SystemError
/// ("cannot run NAME: ...") when it is not there, or may not be executed.
std::string find_program(const std::string& name);

/// The absolute path of this program as it was called by `name` (argv[0]): where that is found, not
/// what it leads to, so that another program can take its place there.
std::string own_program(const std::string& name);

/// Our own environment, without the variables that are addressed to us alone (the service
/// manager's and those that name inherited descriptors).
std::vector<std::string> inherited_environment();

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "os/child.hpp"

namespace handoff {

/// How a child is started. Everything else is as a shell would have it: an empty signal mask,
/// default dispositions, and the descriptor limit that this process was started with.
struct SpawnOptions {
  std::vector<std::string> argv;         ///< argv[0] is looked up in PATH
  std::string path;                      ///< the path to execute instead of argv[0], unless empty
  std::vector<std::string> environment;  ///< "NAME=value", complete
  /// Pairs of a descriptor of this process, which stays open here, and its number in the child. The
  /// child has these descriptors and no other.
  std::vector<std::pair<int, int>> descriptors;
  /// Gives the child a session and a process group of its own: ^C on this terminal does not reach
  /// it, and Child::kill_group() does. Without a terminal it is not stopped when it writes to one
  /// (`stty tostop`), as a background job is.
  bool new_group = true;
  /// Sets no_new_privs (prctl(2)), so that set-user-ID programs give the child no privileges.
  bool no_new_privileges = false;
  /// Adds LISTEN_PID with the child's own number to its environment (sd_listen_fds(3)).
  bool listen_pid = false;
  /// The signal that the kernel sends to the child when the thread that spawns it ends (prctl(2),
  /// PR_SET_PDEATHSIG); 0 is none. A child whose parent ends before the child can ask for the
  /// signal ends by itself.
  int parent_death_signal = 0;
};

/// Starts a child, as vfork(2) and then execve(2) do, and returns when it has executed its program;
/// the call blocks until then. Throws SystemError ("cannot run NAME: ...") with the errno of
/// execve(2) if the program cannot be executed: a file that is no program (ENOEXEC) is not given to
/// a shell. If an earlier step fails, the error names that step. Call it from the main thread.
/// Nothing else in handoff creates a process.
Child spawn(const SpawnOptions& options);

/// Replaces this process by the program. Only `argv`, `path`, `environment`, `descriptors` and
/// `listen_pid` count; everything else of the process stays as it is. Returns only by throwing
/// SystemError ("cannot run NAME: ..."); the descriptors of this process may be rearranged or
/// closed by then.
[[noreturn]] void become(const SpawnOptions& options);

}  // namespace handoff

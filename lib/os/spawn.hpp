// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "os/child.hpp"

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
  /// The kernel sends this to the child when the thread that spawns it ends (prctl(2),
  /// PR_SET_PDEATHSIG). A child whose parent is gone before that could be asked for ends by itself.
  int parent_death_signal = 0;
};

/// The only place that creates a process: as vfork, then execve. Returns when the child has
/// executed its program. Throws SystemError ("cannot run NAME: ...") when it can't be executed,
/// with the errno that execve(2) gave: a file that is no program (ENOEXEC) is not given to a shell;
/// when a step before that fails, the error names that step. Call it from the main thread.
Child spawn(const SpawnOptions& options);

/// Becomes the program: only `argv`, `environment`, `descriptors` and `listen_pid` count; what is
/// not mentioned stays as it is. Returns only by throwing SystemError ("cannot run NAME: ...").
[[noreturn]] void become(const SpawnOptions& options);

}  // namespace handoff

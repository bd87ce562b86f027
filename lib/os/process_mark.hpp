// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace handoff {

/// Makes marks for the processes that this one starts: a variable in their environment, which
/// everything that they start inherits, even in a process group of its own. A mark begins with the
/// mark of the process that made it, so that a whole tree can be found by the mark of its root.
class ProcessMarks {
 public:
  ProcessMarks();

  /// Returns what each of these marks begins with, and no mark of another process:
  /// "RPC_MARK=4711-5f3a-".
  const std::string& prefix() const { return prefix_; }
  /// Returns a new mark: the prefix, a number, and a point, without which the first mark would be
  /// the beginning of the tenth. Any thread may call this.
  std::string next();

 private:
  std::string prefix_;
  std::atomic<std::uint64_t> count_ = 0;
};

/// Puts the mark into an environment, in the place of an inherited mark.
void set_mark(std::vector<std::string>& environment, const std::string& mark);

/// Looks for an entry that starts with `start` in the environment that a process began its program
/// with. Returns what follows `start`; nothing if there is no such entry, if the process is about
/// to end, or if this process may not look. Blocks while the process is in the middle of execve(2),
/// up to a second.
std::optional<std::string> find_mark(pid_t pid, std::string_view start);

/// Returns whether a process has begun to end, or has ended: its environment cannot be read any
/// more, while it may still have children.
bool is_ending(pid_t pid);

}  // namespace handoff

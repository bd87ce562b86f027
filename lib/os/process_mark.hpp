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

/// Marks for the processes that this one starts: a variable in the environment, which whatever they
/// start inherits, also in a process group of its own. A mark begins with that of the process that
/// gave it, so that all of a tree can be found by the mark of its root.
class ProcessMarks {
 public:
  ProcessMarks();

  /// What each of these marks, and no mark of another process, begins with: "RPC_MARK=4711-5f3a-".
  const std::string& prefix() const { return prefix_; }
  /// Another one: the prefix, a number, and a point, which keeps the first from being the start of
  /// the tenth. Any thread may call this.
  std::string next();

 private:
  std::string prefix_;
  std::atomic<std::uint64_t> count_ = 0;
};

/// Puts the mark into an environment, in the place of an inherited one.
void set_mark(std::vector<std::string>& environment, const std::string& mark);

/// Looks for a variable that starts with `start` in the environment that a process began its
/// program with. Returns what follows; nothing when it has no such variable, when it is about to
/// end, or when we may not look. Blocks while the process is in the middle of execve(2), up to a
/// second.
std::optional<std::string> find_mark(pid_t pid, std::string_view start);

/// Whether a process has begun to end, or has ended: its environment can't be read any more, and
/// its children may still be its own.
bool is_ending(pid_t pid);

}  // namespace handoff

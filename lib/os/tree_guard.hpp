// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "os/child.hpp"
#include "os/fd.hpp"

namespace handoff {

/// What becomes of process trees when the process that has started them is killed.
struct GuardOrders {
  /// What the environment of each process in the trees has a variable that starts with: the
  /// ProcessMarks::prefix() of the process that starts them.
  std::string mark;
  /// What each tree is sent at once, the trees that it has started itself excepted: TERM or 0.
  int signal = 0;
  /// When all that is left is killed. 0: never.
  std::chrono::milliseconds patience{};
};

/// A process of its own, which waits until this one has died, and then ends its process trees. It
/// is this program under another name, in a session of its own, and holds nothing but the end of a
/// pipe; TERM, INT and HUP do not end it.
class TreeGuard {
 public:
  /// Throws SystemError.
  explicit TreeGuard(const GuardOrders& orders);
  TreeGuard(const TreeGuard&) = delete;
  TreeGuard& operator=(const TreeGuard&) = delete;
  /// The guard goes to work once this process has ended.
  ~TreeGuard() = default;

  pid_t pid() const { return child_.pid(); }
  /// Ends it: nothing is left to guard. Blocks until it has ended.
  void dismiss();

 private:
  Child child_;
  Fd pipe_;
};

/// Whether this process was started as a guard, by the name that it was called by. The main
/// function of a program that makes a TreeGuard asks this first, and returns guard_main(argv).
bool is_tree_guard(int argc, char** argv);
int guard_main(char** argv);

}  // namespace handoff

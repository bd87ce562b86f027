// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "os/child.hpp"
#include "os/fd.hpp"

namespace handoff {

/// What happens to process trees when the process that has started them is killed.
struct GuardOrders {
  /// The beginning of a variable in the environment of each process in the trees: the
  /// ProcessMarks::prefix() of the process that starts them.
  std::string mark;
  /// The signal that each tree that the process itself has started is sent at once: TERM or 0 for
  /// none.
  int signal = 0;
  /// The time after which all processes that are left are killed. 0: never.
  std::chrono::milliseconds patience{};
};

/// A separate process, which waits until this one has died, and then ends its process trees. It
/// runs this program under another name, in a session of its own, and holds nothing but the end of
/// a pipe; TERM, INT, HUP and QUIT do not end it.
class TreeGuard {
 public:
  /// Starts the guard. Throws SystemError.
  explicit TreeGuard(const GuardOrders& orders);
  TreeGuard(const TreeGuard&) = delete;
  TreeGuard& operator=(const TreeGuard&) = delete;
  /// Closes the pipe, and so tells the guard to act as if this process had died; call dismiss()
  /// first if nothing is to be ended.
  ~TreeGuard() = default;

  pid_t pid() const { return child_.pid(); }
  /// Ends the guard, because there is nothing left to guard. Blocks until it has ended.
  void dismiss();

 private:
  Child child_;
  Fd pipe_;
};

/// Returns whether this process was started as a guard, by the name that it was called by. The main
/// function of a program that makes a TreeGuard calls this first, and if so returns
/// guard_main(argv).
bool is_tree_guard(int argc, char** argv);
int guard_main(char** argv);

}  // namespace handoff

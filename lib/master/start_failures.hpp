// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "os/child.hpp"

namespace handoff {

/// Tells workers that can never start from those that fail now and then: as long as no worker has
/// been ready, it counts how the workers in each slot have ended.
class StartFailures {
 public:
  /// Records that the worker in this slot has ended by itself before it was ready.
  void ended(int slot, const ExitStatus& status);
  /// Called when any worker is ready: from then on no failure is hopeless.
  void worker_ready() { any_was_ready_ = true; }
  void slot_removed(int slot) { runs_.erase(slot); }

  /// Returns how all workers end if none can be expected to start: in each of `slots` slots they
  /// have ended in the same way three times, or once if the status says that the program cannot be
  /// run (126, 127) or does not understand its command line (2). Returns nothing while that is
  /// open.
  std::optional<ExitStatus> hopeless(std::size_t slots) const;

 private:
  /// A run of workers in one slot that have ended in the same way.
  struct Run {
    ExitStatus status;
    int length = 0;
  };

  std::map<int, Run> runs_;
  bool any_was_ready_ = false;
};

/// Returns "no worker can start: each has ended with exit status 2 before it was ready".
std::string describe_hopeless(const ExitStatus& status);

}  // namespace handoff

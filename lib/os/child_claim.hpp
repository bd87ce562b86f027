// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <mutex>
#include <utility>

namespace handoff {

/// Marks a child of this process as owned by an object that waits for its end: reap_orphans() and
/// ProcessTree leave it alone. Children without a claim are orphans that this process has adopted.
/// Move-only; any thread may use it.
class ChildClaim {
 public:
  /// Makes an object that claims nothing.
  ChildClaim() = default;
  explicit ChildClaim(pid_t pid);
  ChildClaim(ChildClaim&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  ChildClaim& operator=(ChildClaim&& other) noexcept;
  ~ChildClaim() { release(); }

  /// Ends the claim.
  void release();

  /// Returns whether a child has a claim.
  static bool exists(pid_t pid);
  /// Returns a lock. While it is held no other thread claims, starts or reaps a child, so that no
  /// number gets another meaning. A thread may hold it several times.
  static std::unique_lock<std::recursive_mutex> freeze();

 private:
  pid_t pid_ = 0;
};

}  // namespace handoff

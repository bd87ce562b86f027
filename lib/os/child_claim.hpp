// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <mutex>
#include <utility>

namespace handoff {

/// Says that a child of this process has an owner, who waits for its end: reap_orphans() and
/// process trees leave it alone. Children without a claim are orphans that this process has
/// adopted.
class ChildClaim {
 public:
  /// Claims nothing.
  ChildClaim() = default;
  explicit ChildClaim(pid_t pid);
  ChildClaim(ChildClaim&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  ChildClaim& operator=(ChildClaim&& other) noexcept;
  ~ChildClaim() { release(); }

  void release();

  static bool exists(pid_t pid);
  /// While this lock is held, no other thread claims, starts or reaps a child, so that no number
  /// gets another meaning. A thread may hold it several times.
  static std::unique_lock<std::recursive_mutex> freeze();

 private:
  pid_t pid_ = 0;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace handoff {

/// The number of requests that a process still answers before it is to be replaced. All of its
/// threads share one quota, and may use it at the same time.
class RequestQuota {
 public:
  explicit RequestQuota(std::int64_t requests) : left_(requests) {}
  RequestQuota(const RequestQuota&) = delete;
  RequestQuota& operator=(const RequestQuota&) = delete;

  /// Counts `count` requests. Returns true to exactly one caller: the one whose requests have used
  /// the quota up.
  bool use(std::size_t count) {
    const auto number = static_cast<std::int64_t>(count);
    const std::int64_t left = left_.fetch_sub(number, std::memory_order_relaxed);
    return left > 0 && left <= number;
  }
  bool is_used_up() const { return left_.load(std::memory_order_relaxed) <= 0; }

 private:
  std::atomic<std::int64_t> left_;
};

}  // namespace handoff

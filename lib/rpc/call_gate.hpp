// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>

namespace handoff {

/// How many of a connection's calls may be executed at a time, where they wait for that outside of
/// their session, maybe on another thread.
class CallGate {
 public:
  CallGate() = default;
  CallGate(const CallGate&) = delete;
  CallGate& operator=(const CallGate&) = delete;

  /// On the session's thread; counts from the next may_begin() on. Gives what counted before.
  std::size_t allow(std::size_t calls) {
    const std::size_t before = allowed_.load(std::memory_order_relaxed);
    if (before != calls) allowed_.store(calls, std::memory_order_relaxed);
    return before;
  }

  /// These are for the thread that executes calls, or gives them to those who do.
  bool may_begin() const { return executing_ < allowed_.load(std::memory_order_relaxed); }
  void begin() { ++executing_; }
  void end() { --executing_; }

 private:
  std::atomic<std::size_t> allowed_ = 1;
  std::size_t executing_ = 0;
};

}  // namespace handoff

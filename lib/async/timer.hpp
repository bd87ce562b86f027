// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "async/clock.hpp"

namespace handoff {

class Reactor;

/// Calls on_timer() at a time. Moving the time later costs nothing: the loop finds out when the
/// earlier time comes. Destroying it cancels it.
class Timer {
 public:
  explicit Timer(Reactor& reactor) : reactor_(reactor) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// kNever cancels.
  void set(TimePoint due);
  void cancel();

 protected:
  ~Timer() { cancel(); }
  /// When it fires; kNever if it is not set.
  TimePoint due() const { return index_ == kNotArmed ? kNever : due_; }
  virtual void on_timer() = 0;

 private:
  friend class Reactor;
  static constexpr std::uint32_t kNotArmed = ~std::uint32_t{0};

  Reactor& reactor_;
  TimePoint due_{};
  std::uint32_t index_ = kNotArmed;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <handoff/async/clock.hpp>
#include <handoff/async/timer_heap.hpp>

namespace handoff {

class Reactor;

/// Calls on_timer() at a time. Moving the time later costs nothing: the loop finds out when the
/// earlier time comes. Destroying it cancels it.
///
/// on_timer() may set and cancel any timer of the reactor and destroy this one.
class Timer : private TimerHeap::Node {
 public:
  explicit Timer(Reactor& reactor) : reactor_(reactor) {}

  /// kNever cancels. A timer that is set to a time that has passed fires in the next turn of the
  /// loop, or in this one if it is set by an on_timer().
  void set(TimePoint when);
  void cancel() {
    if (is_armed()) { disarm(); }
  }

 protected:
  ~Timer() { cancel(); }
  /// When it fires; kNever if it is not set.
  TimePoint due() const { return is_armed() ? Node::due : kNever; }
  void on_timer() override = 0;

 private:
  void disarm();

  Reactor& reactor_;
};

}  // namespace handoff

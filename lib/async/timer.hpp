// SPDX-License-Identifier: MIT
#pragma once

#include <handoff/async/clock.hpp>
#include <handoff/async/timer_heap.hpp>

namespace handoff {

class Reactor;

/// Calls on_timer() when a time has come; derive from it. Moving the time later costs nothing: the
/// loop finds out when the earlier time comes. Destroying the timer cancels it. It is used on its
/// reactor's thread only, and fires only inside Reactor::run() or run_once().
///
/// on_timer() may set and cancel any timer of the reactor and destroy this one.
class Timer : private TimerHeap::Node {
 public:
  /// The reactor must outlive the timer, which is not set at first.
  explicit Timer(Reactor& reactor) : reactor_(reactor) {}

  /// Has on_timer() called once, at `when` or as soon after it as the loop gets to it; any time
  /// that was set before is dropped, and kNever cancels. A timer that is set to a time that has
  /// passed fires in the next turn of the loop, or in this one if it is set by an on_timer().
  void set(TimePoint when);
  /// Calls the timer off. Nothing happens when it is not set.
  void cancel() {
    if (is_armed()) { disarm(); }
  }

 protected:
  ~Timer() { cancel(); }
  /// Returns when it fires; kNever if it is not set.
  TimePoint due() const { return is_armed() ? Node::due : kNever; }
  void on_timer() override = 0;

 private:
  void disarm();

  Reactor& reactor_;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include "async/clock.hpp"
#include "async/timer_heap.hpp"

namespace handoff {

class Reactor;

/// The base class of what is called at a time. Moving the time to a later one costs nothing,
/// because the loop notices only when the earlier time comes. Destroying the timer cancels it. It
/// belongs to the reactor's thread, and the reactor must outlive it.
///
/// on_timer() may set and cancel any timer of the reactor, and may destroy this one.
///
///     class Blink final : private Timer {
///      public:
///       explicit Blink(Reactor& reactor) : Timer(reactor) { set(Clock::now() + seconds(1)); }
///
///      private:
///       void on_timer() override { toggle(); set(Clock::now() + seconds(1)); }
///     };
class Timer : private TimerHeap::Node {
 public:
  explicit Timer(Reactor& reactor) : reactor_(reactor) {}

  /// Sets the time; kNever cancels. A timer that is set to a time that has passed fires in the next
  /// turn of the loop, or in this one if an on_timer() sets it.
  void set(TimePoint when);
  /// Cancels the timer; does nothing if it is not set.
  void cancel() {
    if (is_armed()) { disarm(); }
  }

 protected:
  ~Timer() { cancel(); }
  /// Returns when the timer fires; kNever if it is not set.
  TimePoint due() const { return is_armed() ? Node::due : kNever; }
  /// Called at the time, once, inside Reactor::run(). An exception leaves Reactor::run().
  void on_timer() override = 0;

 private:
  void disarm();

  Reactor& reactor_;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include "async/deadline_wheel.hpp"
#include "async/reactor.hpp"
#include "async/timer.hpp"

namespace handoff {

/// The deadlines of a reactor's calls: one wheel, driven by one timer of the reactor.
///
/// Use it where a deadline rarely passes and some milliseconds do not matter; where they do, use a
/// Timer.
class Deadlines final : private Timer {
 public:
  using Entry = DeadlineWheel::Entry;

  /// The reactor must outlive this.
  explicit Deadlines(Reactor& reactor) : Timer(reactor), reactor_(reactor) {}

  /// Calls entry.on_deadline(), on the reactor's thread, when `when` has passed, up to some
  /// milliseconds late. An entry that is armed is moved; kNever disarms it. The entry must be
  /// disarmed before it is destroyed, and every entry must be before this object is.
  void arm(Entry& entry, TimePoint when) {
    wheel_.arm(entry, when, reactor_.now());
    if (const TimePoint next = wheel_.next(); next < due()) { set(next); }
  }
  /// Disarms `entry`; does nothing if it is not armed.
  void disarm(Entry& entry) { wheel_.disarm(entry); }

 private:
  void on_timer() override {
    while (wheel_.fire_next(reactor_.now())) { continue; }
    set(wheel_.next());
  }

  Reactor& reactor_;
  DeadlineWheel wheel_;
};

}  // namespace handoff

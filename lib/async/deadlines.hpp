// SPDX-License-Identifier: MIT
#pragma once

#include "async/deadline_wheel.hpp"
#include "async/reactor.hpp"
#include "async/timer.hpp"

namespace handoff {

/// The deadlines of a reactor's calls, in one wheel and with one timer.
class Deadlines final : private Timer {
 public:
  using Entry = DeadlineWheel::Entry;

  /// The reactor must outlive this.
  explicit Deadlines(Reactor& reactor) : Timer(reactor), reactor_(reactor) {}

  /// Calls entry.on_deadline() when `when` has passed, up to some milliseconds late. An entry that
  /// is armed is moved; kNever disarms it.
  void arm(Entry& entry, TimePoint when) {
    wheel_.arm(entry, when, reactor_.now());
    if (const TimePoint next = wheel_.next(); next < due()) { set(next); }
  }
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

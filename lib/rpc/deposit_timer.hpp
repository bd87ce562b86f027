// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include <handoff/async/reactor.hpp>
#include <handoff/async/timer.hpp>

namespace handoff {

/// Calls a function periodically as long as there are young connections that are to be deposited
/// with the master. One timer serves all connections, so that a connection which ends soon costs
/// nothing.
class DepositTimer final : private Timer {
 public:
  /// The period. A connection is deposited after one to two periods, so at the latest when it is a
  /// second old.
  static constexpr std::chrono::milliseconds kPeriod{500};

  /// `look` is called on the reactor's thread at the end of each period, and returns whether
  /// another one is needed. The reactor must outlive the timer.
  DepositTimer(Reactor& reactor, std::function<bool()> look)
      : Timer(reactor), reactor_(reactor), look_(std::move(look)) {}

  /// Says that there is a connection to be deposited later: starts the period unless one is under
  /// way.
  void start() {
    if (due() == kNever) { set(reactor_.now() + kPeriod); }
  }

 private:
  void on_timer() override {
    if (look_()) { set(reactor_.now() + kPeriod); }
  }

  Reactor& reactor_;
  std::function<bool()> look_;
};

}  // namespace handoff

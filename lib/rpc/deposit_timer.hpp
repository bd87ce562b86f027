// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include <handoff/async/reactor.hpp>
#include <handoff/async/timer.hpp>

namespace handoff {

/// Looks now and then for connections that are to be deposited with the master, as long as there
/// are some that are younger. One timer serves all connections, and one that ends soon costs
/// nothing.
class DepositTimer final : private Timer {
 public:
  /// A connection is deposited after one to two of these: when it is a second old, it has been.
  static constexpr std::chrono::milliseconds kPeriod{500};

  /// `look` says whether there are connections that it has to look at again.
  DepositTimer(Reactor& reactor, std::function<bool()> look)
      : Timer(reactor), reactor_(reactor), look_(std::move(look)) {}

  /// There is a connection that is to be deposited later.
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

// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "async/reactor.hpp"

namespace handoff {

/// Says why a program waits: at once when the reason is new, and then every few seconds for as long
/// as the wait goes on. The same for everything that a tool waits for, so that a user who asks for
/// details sees that it has not been forgotten. The reactor must outlive it.
class WaitNotice final : private Timer {
 public:
  /// Is given "REASON (waiting)". May be empty.
  using Say = std::function<void(const std::string& text)>;
  static constexpr Duration kPeriod = std::chrono::seconds(3);

  WaitNotice(Reactor& reactor, Say say, Duration period = kPeriod)
      : Timer(reactor), say_(std::move(say)), period_(period) {}

  /// The wait goes on, for this reason: "cannot connect to x: Connection refused". A reason that
  /// was said less than a period ago is not said again yet.
  void wait(const std::string& reason);
  /// A wait begins that is worth a word only if it lasts for a period.
  void expect(const std::string& reason);
  /// The wait is over: says nothing more until the next one.
  void stop() { cancel(); }

 private:
  void say();
  void on_timer() override;

  Say say_;
  Duration period_;
  std::string reason_;  ///< of the wait that goes on
  std::string said_;    ///< the reason that was said last
  TimePoint said_at_{};
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "async/reactor.hpp"

namespace handoff {

/// Says why a program waits: at once if the reason is new, and then every few seconds while the
/// wait goes on. Everything that a tool waits for is announced in this way, so that a user who asks
/// for details sees that the tool has not stalled. The reactor must outlive this object.
class WaitNotice final : private Timer {
 public:
  /// Called with "REASON (waiting)". May be empty: then nothing is said.
  using Say = std::function<void(const std::string& text)>;
  /// How long a wait goes on before its reason is said again.
  static constexpr Duration kPeriod = std::chrono::seconds(3);

  /// `say` is called on the reactor's thread, also from within wait().
  WaitNotice(Reactor& reactor, Say say, Duration period = kPeriod)
      : Timer(reactor), say_(std::move(say)), period_(period) {}

  /// Called when the wait goes on for this reason, such as "cannot connect to x: Connection
  /// refused". A reason that was said less than a period ago is said again only when the period is
  /// over.
  void wait(const std::string& reason);
  /// Called when a wait begins that is worth mentioning only if it lasts for a period.
  void expect(const std::string& reason);
  /// Called when the wait is over: nothing more is said until the next one.
  void stop() { cancel(); }

 private:
  void say();
  void on_timer() override;

  Say say_;
  Duration period_;
  std::string reason_;  ///< why the current wait goes on
  std::string said_;    ///< the reason that was said last
  TimePoint said_at_{};
};

}  // namespace handoff

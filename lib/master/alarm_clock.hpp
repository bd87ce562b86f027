// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>

#include "async/reactor.hpp"
#include "async/task.hpp"

namespace handoff {

/// Tells the time, and makes calls at a time. The master has a ReactorClock; a test has a clock
/// that stands still until the test moves it.
class AlarmClock {
 public:
  /// A call that is to be made. Destroying the alarm cancels the call; the call itself may destroy
  /// the alarm.
  class Alarm {
   public:
    virtual ~Alarm() = default;
  };

  /// Returns the time now.
  virtual TimePoint now() const = 0;
  /// Calls `call` once, at `when` or soon after it; never if `when` is kNever. The caller owns the
  /// alarm, and must keep it until the call is made.
  virtual std::unique_ptr<Alarm> call_at(TimePoint when, std::function<void()> call) = 0;

 protected:
  ~AlarmClock() = default;
};

/// The clock of a reactor, which must outlive this object and its alarms. Events that happened
/// before the time of an alarm are handled before its call (see Reactor). Calls are made on the
/// reactor's thread.
class ReactorClock final : public AlarmClock {
 public:
  explicit ReactorClock(Reactor& reactor) : reactor_(reactor) {}

  TimePoint now() const override { return Clock::now(); }
  std::unique_ptr<Alarm> call_at(TimePoint when, std::function<void()> call) override;

 private:
  Reactor& reactor_;
};

/// Waits for `duration`. The clock and the reactor must outlive the task.
Task<void> pause(AlarmClock& clock, Reactor& reactor, Duration duration);

}  // namespace handoff

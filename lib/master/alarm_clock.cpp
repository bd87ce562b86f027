// SPDX-License-Identifier: MIT
#include "master/alarm_clock.hpp"

#include <utility>

#include "async/event.hpp"
#include "async/timer.hpp"

namespace handoff {
namespace {

class TimerAlarm final : public AlarmClock::Alarm, private Timer {
 public:
  TimerAlarm(Reactor& reactor, TimePoint when, std::function<void()> call)
      : Timer(reactor), call_(std::move(call)) {
    set(when);
  }

 private:
  void on_timer() override {
    const auto call = std::move(call_);  // which may destroy this object
    call();
  }

  std::function<void()> call_;
};

}  // namespace

std::unique_ptr<AlarmClock::Alarm> ReactorClock::call_at(TimePoint when,
                                                         std::function<void()> call) {
  return std::make_unique<TimerAlarm>(reactor_, when, std::move(call));
}

// The clock and the reactor outlive the tasks that use them.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> pause(AlarmClock& clock, Reactor& reactor, Duration duration) {
  Event over(reactor);
  const auto alarm = clock.call_at(clock.now() + duration, [&over] { over.set(); });
  co_await over;
}

}  // namespace handoff

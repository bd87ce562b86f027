// SPDX-License-Identifier: MIT
#include "master/alarm_clock.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <utility>

namespace handoff {
namespace {

using std::chrono::milliseconds;

TEST_CASE("an alarm of the reactor's clock calls once, and not before its time") {
  Reactor reactor;
  ReactorClock clock(reactor);
  int calls = 0;
  const TimePoint due = Clock::now() + milliseconds(2);
  TimePoint called{};
  const auto alarm = clock.call_at(due, [&] {
    ++calls;
    called = Clock::now();
  });
  reactor.run([](ReactorClock& on, Reactor& loop) -> Task<void> {
    co_await pause(on, loop, milliseconds(5));
  }(clock, reactor));
  CHECK(calls == 1);
  CHECK(called >= due);
}

TEST_CASE("an alarm that is destroyed, and one that is never due, do not call") {
  Reactor reactor;
  ReactorClock clock(reactor);
  int calls = 0;
  auto destroyed = clock.call_at(Clock::now(), [&] { ++calls; });
  const auto never = clock.call_at(kNever, [&] { ++calls; });
  destroyed.reset();
  reactor.run([](ReactorClock& on, Reactor& loop) -> Task<void> {
    co_await pause(on, loop, milliseconds(1));
  }(clock, reactor));
  CHECK(calls == 0);
}

TEST_CASE("an alarm may destroy itself in its call, and set another") {
  Reactor reactor;
  ReactorClock clock(reactor);
  int calls = 0;
  std::unique_ptr<AlarmClock::Alarm> alarm;
  alarm = clock.call_at(Clock::now(), [&] {
    alarm = clock.call_at(Clock::now(), [&] {
      ++calls;
      alarm.reset();
    });
    ++calls;
  });
  reactor.run([](ReactorClock& on, Reactor& loop) -> Task<void> {
    co_await pause(on, loop, milliseconds(2));
  }(clock, reactor));
  CHECK(calls == 2);
  CHECK(alarm == nullptr);
}

TEST_CASE("a pause that is destroyed while it lasts calls nothing") {
  Reactor reactor;
  ReactorClock clock(reactor);
  reactor.run([](ReactorClock& on, Reactor& loop) -> Task<void> {
    loop.spawn(pause(on, loop, std::chrono::hours(1)));
    co_await loop.yield();
  }(clock, reactor));
}

}  // namespace
}  // namespace handoff

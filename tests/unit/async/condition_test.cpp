// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>

#include <handoff/async/condition.hpp>
#include <handoff/async/reactor.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

Task<void> wait_for_it(Condition& condition, TimePoint deadline, int& woken) {
  co_await condition.wait(deadline);
  ++woken;
}

TEST_CASE("all that wait go on, and those that come later wait for the next time") {
  Reactor reactor;
  Condition condition(reactor);
  int woken = 0;
  reactor.run([](Reactor& loop, Condition& changed, int& count) -> Task<void> {
    for (int i = 0; i < 3; ++i) { loop.spawn(wait_for_it(changed, kNever, count)); }
    co_await loop.yield();
    changed.notify_all();
    loop.spawn(wait_for_it(changed, kNever, count));
    for (int i = 0; i < 5; ++i) { co_await loop.yield(); }
    CHECK(count == 3);
    changed.notify_all();
    for (int i = 0; i < 5; ++i) { co_await loop.yield(); }
    CHECK(count == 4);
  }(reactor, condition, woken));
}

TEST_CASE("a wait says whether it was notified or its deadline came first") {
  Reactor reactor;
  Condition condition(reactor);
  const TimePoint soon = Clock::now() + std::chrono::milliseconds(1);
  CHECK_FALSE(reactor.run_for_result(condition.wait(soon)));
  CHECK_FALSE(reactor.run_for_result(condition.wait(soon)));
  CHECK(reactor.run_for_result([](Reactor& loop, Condition& changed) -> Task<bool> {
    loop.spawn([](Condition& of) -> Task<void> {
      of.notify_all();
      co_return;
    }(changed));
    co_return co_await changed.wait(Clock::now() + std::chrono::hours(1));
  }(reactor, condition)));
}

TEST_CASE("a wait that is notified in the turn of its deadline was notified") {
  Reactor reactor;
  Condition condition(reactor);
  CHECK(reactor.run_for_result([](Reactor& loop, Condition& changed) -> Task<bool> {
    const TimePoint when = loop.now() + std::chrono::milliseconds(1);
    loop.spawn([](Reactor& in, Condition& of, TimePoint until) -> Task<void> {
      co_await in.sleep_until(until);
      of.notify_all();
    }(loop, changed, when));
    co_await loop.yield();  // so that its timer is armed
    co_return co_await changed.wait(when);
  }(reactor, condition)));
}

TEST_CASE("a wait for what holds already does not wait, whatever its deadline") {
  Reactor reactor;
  Condition condition(reactor);
  int asked = 0;
  const auto holds = [&asked] { return ++asked > 0; };
  CHECK(reactor.run_for_result(condition.wait_until(holds, Clock::now() - std::chrono::hours(1))));
  CHECK(asked == 1);
}

TEST_CASE("a wait for what comes to hold ends then, and for what does not at its deadline") {
  Reactor reactor;
  Condition condition(reactor);
  int value = 0;
  int asked = 0;
  const auto change = [](Reactor& loop, Condition& changed, int& number) -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      co_await loop.yield();
      ++number;
      changed.notify_all();
    }
  };
  const auto wait_for = [&](int wanted, TimePoint deadline) {
    return [](Reactor& loop, Condition& changed, Task<void> meanwhile, int& number, int& questions,
              int until, TimePoint when) -> Task<bool> {
      loop.spawn(std::move(meanwhile));
      co_return co_await changed.wait_until(
          [&number, &questions, until] {
            ++questions;
            return number == until;
          },
          when);
    }(reactor, condition, change(reactor, condition, value), value, asked, wanted, deadline);
  };
  CHECK(reactor.run_for_result(wait_for(2, kNever)));
  CHECK(value == 2);
  asked = 0;
  const TimePoint soon = Clock::now() + std::chrono::milliseconds(1);
  CHECK_FALSE(reactor.run_for_result(wait_for(100, soon)));
  // It is asked once in the beginning, after each change, and at the deadline: it does not spin.
  CHECK(asked <= 5);
}

TEST_CASE("who waits can be dropped") {
  Reactor reactor;
  Condition condition(reactor);
  int woken = 0;
  reactor.run([](Reactor& loop, Condition& changed, int& count) -> Task<void> {
    loop.spawn(wait_for_it(changed, kNever, count));
    co_await loop.yield();
  }(reactor, condition, woken));
  condition.notify_all();
  CHECK(woken == 0);
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "async/condition.hpp"

#include <doctest/doctest.h>

#include <chrono>

#include "async/reactor.hpp"
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
    for (int i = 0; i < 3; ++i) loop.spawn(wait_for_it(changed, kNever, count));
    co_await loop.yield();
    changed.notify_all();
    loop.spawn(wait_for_it(changed, kNever, count));
    for (int i = 0; i < 5; ++i) co_await loop.yield();
    CHECK(count == 3);
    changed.notify_all();
    for (int i = 0; i < 5; ++i) co_await loop.yield();
    CHECK(count == 4);
  }(reactor, condition, woken));
}

TEST_CASE("a wait ends at its deadline") {
  Reactor reactor;
  Condition condition(reactor);
  int woken = 0;
  reactor.run(wait_for_it(condition, Clock::now() + std::chrono::milliseconds(1), woken));
  CHECK(woken == 1);
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

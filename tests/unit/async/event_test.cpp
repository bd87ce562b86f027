// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include <handoff/async/event.hpp>
#include <handoff/async/reactor.hpp>

namespace handoff {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

Task<void> yield_often(Reactor& reactor) {
  for (int i = 0; i < 10; ++i) { co_await reactor.yield(); }
}

Task<void> wait_for(Event& event, int& woken) {
  co_await event;
  ++woken;
}

/// Starts a task that nobody owns but the caller.
Task<void>::Handle start(Task<void> task) {
  const Task<void>::Handle frame = task.release();
  frame.resume();
  return frame;
}

TEST_CASE("an event lets who waits for it go on, and stays set") {
  Reactor reactor;
  Event event(reactor);
  std::string steps;
  const auto waiter = [&]() -> Task<void> {
    steps += 'w';
    co_await event;
    steps += '1';
    co_await event;
    steps += '2';
  };
  const auto main = [&]() -> Task<void> {
    reactor.spawn(waiter());
    co_await yield_often(reactor);
    CHECK(steps == "w");
    event.set();
    event.set();
    CHECK(steps == "w");
    co_await yield_often(reactor);
    CHECK(steps == "w12");
    CHECK(event.is_set());
    event.clear();
    reactor.spawn(waiter());
    co_await yield_often(reactor);
    CHECK(steps == "w12w");
  };
  reactor.run(main());
}

TEST_CASE("who waits for an event can be destroyed before and after it is set") {
  Reactor reactor;
  for (const bool set : {false, true}) {
    Event event(reactor);
    bool woke = false;
    const auto waiter = [&]() -> Task<void> {
      co_await event;
      woke = true;
    };
    const auto main = [&]() -> Task<void> {
      reactor.spawn(waiter());
      co_await yield_often(reactor);
      if (set) { event.set(); }
    };
    reactor.run(main());
    event.set();
    reactor.run(yield_often(reactor));
    CHECK(!woke);
  }
}

TEST_CASE("a waiter that another one destroys in the same turn is not resumed") {
  Reactor reactor;
  Event event(reactor);
  int woken = 0;
  Task<void>::Handle second;
  const auto rival = [&]() -> Task<void> {
    co_await event;
    ++woken;
    second.destroy();
  };
  const auto main = [&]() -> Task<void> {
    reactor.spawn(rival());
    co_await reactor.yield();
    event.set();
    event.clear();
    second = start(wait_for(event, woken));
    event.set();
    co_await yield_often(reactor);
    CHECK(woken == 1);
  };
  reactor.run(main());
}

TEST_CASE("a waiter that is destroyed after the event was set leaves the next one waiting") {
  Reactor reactor;
  Event event(reactor);
  int woken = 0;
  const auto main = [&]() -> Task<void> {
    const Task<void>::Handle first = start(wait_for(event, woken));
    event.set();
    event.clear();
    const Task<void>::Handle second = start(wait_for(event, woken));
    first.destroy();
    co_await yield_often(reactor);
    CHECK(woken == 0);
    event.set();
    co_await yield_often(reactor);
    CHECK(woken == 1);
    second.destroy();
  };
  reactor.run(main());
}

TEST_CASE("a timeout sets its event at a time, unless it is destroyed before") {
  Reactor reactor;
  Event event(reactor);
  const TimePoint start_time = reactor.now();
  const auto main = [&]() -> Task<void> {
    { const EventTimeout called_off(reactor, event, start_time + milliseconds(1)); }
    co_await reactor.sleep_until(start_time + milliseconds(2));
    CHECK(!event.is_set());
    const EventTimeout timeout(reactor, event, start_time + milliseconds(3));
    co_await event;
    CHECK(event.is_set());
    CHECK(reactor.now() >= start_time + milliseconds(3));
  };
  reactor.run(main());
}

TEST_CASE("a timeout is destroyed by the coroutine that it has woken") {
  Reactor reactor;
  Event event(reactor);
  const auto main = [&]() -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      event.clear();
      const EventTimeout far(reactor, event, Clock::now() + hours(1));
      const EventTimeout near(reactor, event, Clock::now());
      co_await event;
    }
  };
  reactor.run(main());
  CHECK(event.is_set());
}

}  // namespace
}  // namespace handoff

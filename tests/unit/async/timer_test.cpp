// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/async/timer.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class TestTimer final : public Timer {
 public:
  TestTimer(Reactor& reactor, std::function<void()> action)
      : Timer(reactor), action_(std::move(action)) {}

 private:
  void on_timer() override {
    // The action may destroy this timer, and with it the action.
    const auto action = action_;
    action();
  }

  std::function<void()> action_;
};

/// Runs the reactor until `when` is over, and every timer that was due with it has fired.
void run_until(Reactor& reactor, TimePoint when) {
  const auto main = [&]() -> Task<void> {
    co_await reactor.sleep_until(when);
    co_await reactor.yield();
    co_await reactor.yield();
  };
  reactor.run(main());
}

TEST_CASE("timers fire in the order of their times, whatever order they were set in") {
  const test::DescriptorCheck check;
  Reactor reactor;
  constexpr std::size_t kCount = 300;
  std::vector<std::size_t> order(kCount);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same order each time
  std::shuffle(order.begin(), order.end(), random);

  const TimePoint start = reactor.now();
  std::vector<std::size_t> fired;
  std::vector<std::unique_ptr<TestTimer>> timers(kCount);
  for (const std::size_t i : order) {
    timers[i] = std::make_unique<TestTimer>(reactor, [&fired, i] { fired.push_back(i); });
    timers[i]->set(start + std::chrono::microseconds(10 * i));
  }
  // Every third one is cancelled, every third one destroyed.
  std::vector<std::size_t> expected;
  for (std::size_t i = 0; i < kCount; ++i) {
    if (i % 3 == 0) { timers[i]->cancel(); }
    if (i % 3 == 1) { timers[i].reset(); }
    if (i % 3 == 2) { expected.push_back(i); }
  }
  run_until(reactor, start + milliseconds(4));
  CHECK(fired == expected);
}

TEST_CASE("no timer fires before its time") {
  Reactor reactor;
  const TimePoint due = Clock::now() + milliseconds(2);
  TimePoint fired;
  TestTimer timer(reactor, [&] { fired = Clock::now(); });
  timer.set(due);
  run_until(reactor, due);
  CHECK(fired >= due);
  CHECK(reactor.now() >= due);
}

TEST_CASE("a postponed timer fires once, at the later time") {
  Reactor reactor;
  const TimePoint start = reactor.now();
  std::vector<TimePoint> fired;
  TestTimer timer(reactor, [&] { fired.push_back(Clock::now()); });
  TestTimer other(reactor, [] {});
  timer.set(start + milliseconds(1));
  other.set(start + milliseconds(2));
  timer.set(start + milliseconds(3));
  timer.set(start + milliseconds(6));
  timer.set(start + milliseconds(5));
  run_until(reactor, start + milliseconds(8));
  REQUIRE(fired.size() == 1);
  CHECK(fired[0] >= start + milliseconds(5));
}

TEST_CASE("a timer that is moved earlier fires earlier") {
  Reactor reactor;
  const TimePoint start = reactor.now();
  std::string fired;
  TestTimer moved(reactor, [&] { fired += 'm'; });
  TestTimer other(reactor, [&] { fired += 'o'; });
  other.set(start + milliseconds(2));
  moved.set(start + hours(1));
  moved.set(start + milliseconds(1));
  run_until(reactor, start + milliseconds(3));
  CHECK(fired == "mo");
}

TEST_CASE("a timer that was postponed and then moved earlier fires at the earlier time") {
  Reactor reactor;
  const TimePoint start = reactor.now();
  int fired = 0;
  TestTimer timer(reactor, [&] { ++fired; });
  timer.set(start + milliseconds(2));
  timer.set(start + hours(1));
  timer.set(start + milliseconds(1));
  run_until(reactor, start + milliseconds(2));
  CHECK(fired == 1);
}

TEST_CASE("a cancelled timer does not fire, and can be set again") {
  Reactor reactor;
  const TimePoint start = reactor.now();
  int fired = 0;
  TestTimer timer(reactor, [&] { ++fired; });
  timer.cancel();
  timer.set(start);
  timer.cancel();
  timer.set(start + milliseconds(1));
  timer.set(kNever);
  run_until(reactor, start + milliseconds(2));
  CHECK(fired == 0);
  timer.set(start + milliseconds(3));
  run_until(reactor, start + milliseconds(4));
  CHECK(fired == 1);
}

TEST_CASE("a timer can be set again by its own action") {
  Reactor reactor;
  const TimePoint start = reactor.now();
  int fired = 0;
  std::optional<TestTimer> timer;
  timer.emplace(reactor, [&] {
    if (++fired < 5) { timer->set(start + std::chrono::microseconds(100 * fired)); }
  });
  timer->set(start);
  run_until(reactor, start + milliseconds(2));
  CHECK(fired == 5);
}

TEST_CASE("a timer that another's action destroys or cancels does not fire, though it is due") {
  for (const bool destroys : {true, false}) {
    Reactor reactor;
    const TimePoint due = reactor.now();
    std::optional<TestTimer> left;
    std::optional<TestTimer> right;
    int fired = 0;
    const auto end = [&](std::optional<TestTimer>& timer) {
      ++fired;
      if (destroys) {
        timer.reset();
      } else {
        timer->cancel();
      }
    };
    left.emplace(reactor, [&] { end(right); });
    right.emplace(reactor, [&] { end(left); });
    left->set(due);
    right->set(due);
    run_until(reactor, due + milliseconds(1));
    CHECK(fired == 1);
  }
}

TEST_CASE("a timer can be destroyed by its own action") {
  Reactor reactor;
  std::optional<TestTimer> timer;
  timer.emplace(reactor, [&] { timer.reset(); });
  timer->set(reactor.now());
  run_until(reactor, reactor.now() + milliseconds(1));
  CHECK(!timer);
}

TEST_CASE("a sleep that is dropped leaves no timer behind") {
  Reactor reactor;
  bool woke = false;
  const auto sleeper = [&](TimePoint when) -> Task<void> {
    co_await reactor.sleep_until(when);
    woke = true;
  };
  const TimePoint start = reactor.now();
  reactor.spawn(sleeper(start + milliseconds(1)));
  const auto nothing = []() -> Task<void> { co_return; };
  reactor.run(nothing());
  run_until(reactor, start + milliseconds(2));
  CHECK(!woke);
}

TEST_CASE("a sleep until a time that is over gives way once") {
  Reactor reactor;
  run_until(reactor, TimePoint());
  CHECK(reactor.now() <= Clock::now());
}

}  // namespace
}  // namespace handoff

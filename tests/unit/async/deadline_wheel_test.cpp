// SPDX-License-Identifier: MIT
#include "async/deadline_wheel.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace handoff {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimePoint kStart = TimePoint(seconds(1000));
constexpr Duration kTick = DeadlineWheel::kTick;

struct TestEntry final : DeadlineWheel::Entry {
  TestEntry(DeadlineWheel& its_wheel, std::function<void()> its_action)
      : wheel(its_wheel), action(std::move(its_action)) {}
  ~TestEntry() { wheel.disarm(*this); }
  void on_deadline() override {
    const auto copy = action;  // it may destroy this entry
    copy();
  }

  DeadlineWheel& wheel;
  std::function<void()> action;
};

struct Fixture {
  /// An entry that counts in `fired`.
  std::unique_ptr<TestEntry> make(TimePoint when, TimePoint now = kStart) {
    auto entry = std::make_unique<TestEntry>(wheel, [this] { ++fired; });
    wheel.arm(*entry, when, now);
    return entry;
  }
  /// Calls fire_next() whenever next() says so, until `end`.
  void run_until(TimePoint end) {
    for (TimePoint now = wheel.next(); now <= end; now = wheel.next()) { fire(now); }
    fire(end);
  }
  void fire(TimePoint now) {
    ++calls;
    while (wheel.fire_next(now)) { continue; }
  }

  DeadlineWheel wheel;
  int fired = 0;
  int calls = 0;
};

TEST_CASE("a wheel without entries has no next time") {
  Fixture fixture;
  CHECK(fixture.wheel.next() == kNever);
  CHECK(!fixture.wheel.fire_next(kStart));
}

TEST_CASE("a deadline passes within a tick of its time, never early, however far it is") {
  for (const Duration wait :
       {Duration(1), Duration(milliseconds(1)), Duration(milliseconds(100)), Duration(seconds(30)),
        Duration(hours(1)), Duration(hours(24 * 365)), Duration(hours(24 * 365 * 200))}) {
    CAPTURE(wait.count());
    Fixture fixture;
    const TimePoint due = kStart + wait;
    const auto entry = fixture.make(due);
    fixture.run_until(due - Duration(1));
    CHECK(fixture.fired == 0);
    fixture.run_until(due + kTick);
    CHECK(fixture.fired == 1);
    CHECK(!entry->is_armed());
    // It moved down once a level, and not more often.
    CHECK(fixture.calls < 12);
    CHECK(fixture.wheel.next() == kNever);
  }
}

TEST_CASE("a deadline that has passed already passes in the next tick") {
  Fixture fixture;
  const auto entry = fixture.make(kStart - seconds(1));
  fixture.run_until(kStart + kTick);
  CHECK(fixture.fired == 1);
}

TEST_CASE("an entry that is disarmed does not fire, also when its time has come") {
  Fixture fixture;
  const auto entry = fixture.make(kStart + seconds(1));
  CHECK(entry->is_armed());
  fixture.wheel.disarm(*entry);
  fixture.wheel.disarm(*entry);
  CHECK(!entry->is_armed());
  CHECK(fixture.wheel.next() == kNever);
  // The first of two to fire disarms the other.
  std::vector<std::unique_ptr<TestEntry>> two;
  for (int i = 0; i < 2; ++i) {
    two.push_back(std::make_unique<TestEntry>(fixture.wheel, [&] {
      ++fixture.fired;
      for (const auto& one : two) { fixture.wheel.disarm(*one); }
    }));
    fixture.wheel.arm(*two.back(), kStart + seconds(1), kStart);
  }
  fixture.run_until(kStart + seconds(2));
  CHECK(fixture.fired == 1);
}

TEST_CASE("an entry that is armed again has the new time, also from within its own deadline") {
  Fixture fixture;
  const auto entry = fixture.make(kStart + seconds(1));
  fixture.wheel.arm(*entry, kStart + seconds(5), kStart);
  fixture.run_until(kStart + seconds(4));
  CHECK(fixture.fired == 0);
  fixture.wheel.arm(*entry, kStart + milliseconds(4100), kStart + seconds(4));
  entry->action = [&] {
    if (++fixture.fired == 1) {
      fixture.wheel.arm(*entry, kStart + seconds(6), kStart + milliseconds(4200));
    }
  };
  fixture.run_until(kStart + milliseconds(4200));
  CHECK(fixture.fired == 1);
  fixture.run_until(kStart + seconds(7));
  CHECK(fixture.fired == 2);
  fixture.wheel.arm(*entry, kStart + seconds(9), kStart + seconds(7));
  fixture.wheel.arm(*entry, kNever, kStart + seconds(7));
  CHECK(fixture.wheel.next() == kNever);
}

TEST_CASE("a deadline may destroy its own entry") {
  Fixture fixture;
  auto entry = fixture.make(kStart + seconds(1));
  entry->action = [&] { entry.reset(); };
  fixture.run_until(kStart + seconds(2));
  CHECK(entry == nullptr);
}

TEST_CASE("any number of deadlines pass in their ticks while others are armed and disarmed") {
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same numbers each time
  const auto up_to = [&](std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(0, most)(random);
  };
  DeadlineWheel wheel;
  TimePoint now = kStart;
  std::vector<std::unique_ptr<TestEntry>> entries;
  std::vector<TimePoint> due(500, kNever);
  std::size_t fired = 0;
  bool all_in_time = true;
  for (std::size_t i = 0; i < due.size(); ++i) {
    entries.push_back(std::make_unique<TestEntry>(wheel, [&, i] {
      CHECK(due[i] <= now);
      due[i] = kNever;
      ++fired;
    }));
  }
  for (int step = 0; step < 20'000; ++step) {
    const auto i = static_cast<std::size_t>(up_to(499));
    const bool is_long = up_to(1) == 0;
    due[i] = up_to(3) == 0 ? kNever : now + milliseconds(up_to(is_long ? 1'000'000 : 300));
    wheel.arm(*entries[i], due[i], now);
    now += std::chrono::microseconds(up_to(step % 100 == 0 ? 100'000'000 : 4000));
    while (wheel.fire_next(now)) { continue; }
    for (const TimePoint when : due) {
      all_in_time = all_in_time && (when == kNever || when + kTick > now);
    }
  }
  CHECK(all_in_time);
  CHECK(fired > 1000);
}

}  // namespace
}  // namespace handoff

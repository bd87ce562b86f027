// SPDX-License-Identifier: MIT
#include "async/race.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include <handoff/async/condition.hpp>
#include <handoff/async/event.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

/// Counts the frames that it stands in.
struct Alive {
  explicit Alive(int& all) : count(all) { ++count; }
  Alive(const Alive&) = delete;
  Alive& operator=(const Alive&) = delete;
  ~Alive() { --count; }
  int& count;
};

/// A reactor, and a task that waits for an event.
struct Fixture {
  Task<int> waits() {
    const Alive alive(frames);
    ++begun;
    co_await event;
    ++resumed;
    co_return 7;
  }

  /// The outcome of a race that runs while `meanwhile` does.
  Raced<int> run(Task<int> task, TimePoint deadline, Task<void> meanwhile) {
    return reactor.run_for_result([](Fixture& self, Task<int> racing, TimePoint when,
                                     Task<void> other) -> Task<Raced<int>> {
      self.reactor.spawn(std::move(other));
      Raced<int> raced = co_await race(self.reactor, std::move(racing), when, &self.cancellation);
      CHECK(self.frames == 0);
      // What was not taken back would come now.
      for (int i = 0; i < 3; ++i) { co_await self.reactor.yield(); }
      co_return raced;
    }(*this, std::move(task), deadline, std::move(meanwhile)));
  }

  Task<void> set_event() {
    event.set();
    co_return;
  }
  Task<void> cancel() {
    cancellation.cancel();
    co_return;
  }
  Task<void> nothing() { co_return; }

  Reactor reactor;
  Event event{reactor};
  Cancellation cancellation;
  int frames = 0;
  int begun = 0;
  int resumed = 0;
};

TEST_CASE("a task that finishes first gives its value, and its deadline does nothing") {
  Fixture fixture;
  const Raced<int> raced =
      fixture.run(fixture.waits(), Clock::now() + std::chrono::hours(1), fixture.set_event());
  CHECK(raced.end == RaceEnd::finished);
  CHECK(raced.value == 7);
}

TEST_CASE("a task that does not wait at all has finished, whatever its deadline") {
  Fixture fixture;
  const auto at_once = []() -> Task<int> { co_return 3; };
  const Raced<int> raced =
      fixture.run(at_once(), Clock::now() - milliseconds(1), fixture.nothing());
  CHECK(raced.end == RaceEnd::finished);
  CHECK(raced.value == 3);
}

TEST_CASE("a task whose deadline comes first is destroyed where it waits") {
  Fixture fixture;
  const Raced<int> raced =
      fixture.run(fixture.waits(), Clock::now() + milliseconds(1), fixture.nothing());
  CHECK(raced.end == RaceEnd::deadline);
  CHECK(!raced.value);
  CHECK(fixture.begun == 1);
  CHECK(fixture.resumed == 0);
  fixture.event.set();  // nothing waits for it any more
}

TEST_CASE("a task that finishes in the turn of its deadline has finished") {
  Fixture fixture;
  const TimePoint when = Clock::now() + milliseconds(1);
  SUBCASE("because a timer of the same time resumes it") {
    const auto sleeps = [](Reactor& reactor, TimePoint until) -> Task<int> {
      co_await reactor.sleep_until(until);
      co_return 7;
    };
    const Raced<int> raced = fixture.run(sleeps(fixture.reactor, when), when, fixture.nothing());
    CHECK(raced.end == RaceEnd::finished);
    CHECK(raced.value == 7);
  }
  SUBCASE("because a timer of the same time sets its event") {
    const auto alarm_set_later = [](Fixture& self, TimePoint until) -> Task<void> {
      const EventTimeout alarm(self.reactor, self.event, until);
      co_await self.event;
    };
    const auto waits_too = [](Fixture& self, TimePoint until) -> Task<int> {
      Event own(self.reactor);
      const EventTimeout alarm(self.reactor, own, until);
      co_await own;
      co_return 7;
    };
    const Raced<int> raced =
        fixture.run(waits_too(fixture, when), when, alarm_set_later(fixture, when));
    CHECK(raced.end == RaceEnd::finished);
    CHECK(raced.value == 7);
  }
}

TEST_CASE("a task that awaits again in the turn of its deadline is destroyed") {
  Fixture fixture;
  const TimePoint when = Clock::now() + milliseconds(1);
  const auto sleeps_and_waits = [](Fixture& self, TimePoint until) -> Task<int> {
    co_await self.reactor.sleep_until(until);
    ++self.resumed;
    co_return co_await self.waits();
  };
  const Raced<int> raced = fixture.run(sleeps_and_waits(fixture, when), when, fixture.nothing());
  CHECK(raced.end == RaceEnd::deadline);
  CHECK(fixture.resumed == 1);
  CHECK(fixture.begun == 1);
}

TEST_CASE("a task that is cancelled is destroyed where it waits") {
  Fixture fixture;
  const Raced<int> raced = fixture.run(fixture.waits(), kNever, fixture.cancel());
  CHECK(raced.end == RaceEnd::cancelled);
  CHECK(!raced.value);
  CHECK(fixture.begun == 1);
  CHECK(fixture.resumed == 0);
}

TEST_CASE("a task that was cancelled before it began never does") {
  Fixture fixture;
  fixture.cancellation.cancel();
  const Raced<int> raced = fixture.run(fixture.waits(), kNever, fixture.nothing());
  CHECK(raced.end == RaceEnd::cancelled);
  CHECK(fixture.begun == 0);
}

TEST_CASE("a task that cancels its own race goes on to its next await") {
  Fixture fixture;
  const auto cancels = [](Fixture& self) -> Task<int> {
    const Alive alive(self.frames);
    self.cancellation.cancel();
    ++self.begun;
    co_await self.event;
    ++self.resumed;
    co_return 7;
  };
  const Raced<int> raced = fixture.run(cancels(fixture), kNever, fixture.nothing());
  CHECK(raced.end == RaceEnd::cancelled);
  CHECK(fixture.begun == 1);
  CHECK(fixture.resumed == 0);
}

TEST_CASE("an exception of the task comes out of the race") {
  Fixture fixture;
  const auto fails = [](Event& event) -> Task<int> {
    co_await event;
    throw std::runtime_error("failed");
  };
  CHECK_THROWS_WITH_AS(fixture.run(fails(fixture.event), kNever, fixture.set_event()), "failed",
                       std::runtime_error);
}

TEST_CASE("a race may outlive its cancellation, and be destroyed itself") {
  Reactor reactor;
  int frames = 0;
  int ended = 0;
  const auto waits = [](Reactor& loop, int& count) -> Task<int> {
    const Alive alive(count);
    Event event(loop);
    co_await event;
    co_return 1;
  };
  const auto races = [&](Cancellation* cancellation) -> Task<void> {
    co_await race(reactor, waits(reactor, frames), Clock::now() + std::chrono::hours(1),
                  cancellation);
    ++ended;
  };
  reactor.run([](Reactor& loop, decltype(races)& start, int& count) -> Task<void> {
    auto cancellation = std::make_optional<Cancellation>();
    loop.spawn(start(&*cancellation));
    co_await loop.yield();
    CHECK(count == 1);
    cancellation.reset();
    co_await loop.yield();
    CHECK(count == 1);
  }(reactor, races, frames));
  CHECK(frames == 0);
  CHECK(ended == 0);
}

TEST_CASE("one cancellation ends all that run under it") {
  Reactor reactor;
  Cancellation cancellation;
  int frames = 0;
  int ended = 0;
  const auto waits = [](Reactor& loop, int& count) -> Task<int> {
    const Alive alive(count);
    Event event(loop);
    co_await event;
    co_return 1;
  };
  const auto races = [&]() -> Task<void> {
    co_await race(reactor, waits(reactor, frames), kNever, &cancellation);
    ++ended;
  };
  reactor.run([](Reactor& loop, decltype(races)& start, Cancellation& all, int& count,
                 int& done) -> Task<void> {
    for (int i = 0; i < 5; ++i) { loop.spawn(start()); }
    co_await loop.yield();
    CHECK(count == 5);
    all.cancel();
    all.cancel();
    while (done < 5) { co_await loop.yield(); }
    CHECK(count == 0);
  }(reactor, races, cancellation, frames, ended));
}

}  // namespace
}  // namespace handoff

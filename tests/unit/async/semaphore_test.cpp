// SPDX-License-Identifier: MIT
#include "async/semaphore.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include <handoff/async/reactor.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

Task<void> yield_often(Reactor& reactor) {
  for (int i = 0; i < 10; ++i) { co_await reactor.yield(); }
}

/// Acquires, and tells what it got; destroyed by the test or at its end.
class Visitor {
 public:
  explicit Visitor(Semaphore& semaphore) : frame_(visit(semaphore, got_).release()) {
    frame_.resume();
  }
  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;
  ~Visitor() { frame_.destroy(); }

  const std::optional<bool>& got() const { return got_; }

 private:
  static Task<void> visit(Semaphore& semaphore, std::optional<bool>& got) {
    got = co_await semaphore.acquire() == Semaphore::Outcome::acquired;
  }

  std::optional<bool> got_;
  Task<void>::Handle frame_;
};

TEST_CASE("as many as there are places get in at once, the others wait in turn") {
  Reactor reactor;
  Semaphore semaphore(reactor, 2, 10);
  std::array<std::optional<Visitor>, 4> visitors;
  for (auto& visitor : visitors) { visitor.emplace(semaphore); }
  CHECK(visitors[0]->got() == true);
  CHECK(visitors[1]->got() == true);
  CHECK(!visitors[2]->got());
  CHECK(!semaphore.available());

  semaphore.release();
  reactor.run(yield_often(reactor));
  CHECK(visitors[2]->got() == true);
  CHECK(!visitors[3]->got());
  semaphore.release();
  reactor.run(yield_often(reactor));
  CHECK(visitors[3]->got() == true);
  CHECK(!semaphore.available());
  semaphore.release();
  CHECK(semaphore.available());
}

TEST_CASE("one that comes when too many wait is turned away") {
  Reactor reactor;
  Semaphore semaphore(reactor, 1, 1);
  const Visitor inside(semaphore);
  const Visitor waiting(semaphore);
  CHECK(Visitor(semaphore).got() == false);
  semaphore.release();
  reactor.run(yield_often(reactor));
  CHECK(waiting.got() == true);
}

TEST_CASE("one that leaves while it waits leaves its turn to the next") {
  Reactor reactor;
  Semaphore semaphore(reactor, 1, 10);
  const Visitor inside(semaphore);
  std::optional<Visitor> leaving(std::in_place, semaphore);
  const Visitor next(semaphore);
  leaving.reset();
  semaphore.release();
  reactor.run(yield_often(reactor));
  CHECK(next.got() == true);
}

TEST_CASE("one that leaves just when its turn has come gives the place back") {
  Reactor reactor;
  Semaphore semaphore(reactor, 1, 10);
  const Visitor inside(semaphore);
  std::optional<Visitor> leaving(std::in_place, semaphore);
  const Visitor next(semaphore);
  semaphore.release();
  leaving.reset();
  reactor.run(yield_often(reactor));
  CHECK(next.got() == true);
}

TEST_CASE("who waits gives up at the deadline, and its turn goes to the next") {
  Reactor reactor;
  Semaphore semaphore(reactor, 1, 10);
  reactor.run([](Reactor& loop, Semaphore& places) -> Task<void> {
    CHECK(co_await places.acquire() == Semaphore::Outcome::acquired);
    const TimePoint soon = Clock::now() + std::chrono::milliseconds(1);
    CHECK(co_await places.acquire(soon) == Semaphore::Outcome::timed_out);
    CHECK(Clock::now() >= soon);
    loop.spawn([](Semaphore& to_release) -> Task<void> {
      to_release.release();
      co_return;
    }(places));
    CHECK(co_await places.acquire() == Semaphore::Outcome::acquired);
  }(reactor, semaphore));
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include <handoff/async/reactor.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

Task<void> nothing() {
  co_return;
}

Task<void> yield_often(Reactor& reactor) {
  for (int i = 0; i < 10; ++i) { co_await reactor.yield(); }
}

TEST_CASE("a task is run, and its result is given") {
  const test::DescriptorCheck check;
  Reactor reactor;
  const auto main = [&]() -> Task<std::string> {
    co_await reactor.yield();
    co_return "result";
  };
  CHECK(reactor.run_for_result(main()) == "result");
  reactor.run(nothing());
}

TEST_CASE("an exception leaves run, from the main task and from a spawned one") {
  Reactor reactor;
  const auto failing = [&](bool later) -> Task<void> {
    if (later) { co_await reactor.yield(); }
    throw std::runtime_error("failed");
  };
  const auto forever = [&]() -> Task<void> { co_await reactor.sleep_until(kNever); };
  for (const bool later : {false, true}) {
    CHECK_THROWS_WITH_AS(reactor.run(failing(later)), "failed", std::runtime_error);
    reactor.spawn(failing(later));
    CHECK_THROWS_WITH_AS(reactor.run(forever()), "failed", std::runtime_error);
    // The error is told once; then the reactor can be used again.
    CHECK_NOTHROW(reactor.run(nothing()));
  }
}

TEST_CASE("spawned tasks run by turns, in the order in which they were spawned") {
  Reactor reactor;
  std::string steps;
  const auto step = [&](char name) -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      steps += name;
      co_await reactor.yield();
    }
  };
  reactor.spawn(step('a'));
  reactor.spawn(step('b'));
  reactor.run(yield_often(reactor));
  CHECK(steps == "ababab");
}

TEST_CASE("a spawned task is destroyed when it ends, or when run returns") {
  Reactor reactor;
  const auto held = std::make_shared<int>();
  const auto hold = [&](std::shared_ptr<int>, TimePoint until) -> Task<void> {
    co_await reactor.sleep_until(until);
  };
  long count_in_run = 0;
  const auto main = [&]() -> Task<void> {
    reactor.spawn(hold(held, kNever));
    reactor.spawn(hold(held, reactor.now()));
    reactor.spawn(hold(held, kNever));
    co_await yield_often(reactor);
    count_in_run = held.use_count();
    // Posted, but it won't have its turn.
    reactor.spawn(hold(held, kNever));
  };
  reactor.run(main());
  CHECK(count_in_run == 3);
  CHECK(held.use_count() == 1);
  reactor.run(yield_often(reactor));
}

TEST_CASE("tasks that never ran are destroyed with the reactor") {
  const test::DescriptorCheck check;
  const auto held = std::make_shared<int>();
  const auto hold = [](std::shared_ptr<int>) -> Task<void> { co_return; };
  {
    Reactor reactor;
    reactor.spawn(hold(held));
  }
  CHECK(held.use_count() == 1);
}

/// A coroutine that gives way, and then destroys another one of its kind.
struct Rival {
  Rival() = default;
  Rival(const Rival&) = delete;
  Rival& operator=(const Rival&) = delete;
  ~Rival() { frame.destroy(); }

  static Task<void> run(Reactor& reactor, std::unique_ptr<Rival>& other, int& woke) {
    co_await reactor.yield();
    ++woke;
    other.reset();
  }
  void start(Reactor& reactor, std::unique_ptr<Rival>& other, int& woke) {
    frame = run(reactor, other, woke).release();
    frame.resume();
  }

  Task<void>::Handle frame;
};

TEST_CASE("who gave way and was destroyed by another of the same turn is not resumed") {
  Reactor reactor;
  auto first = std::make_unique<Rival>();
  auto second = std::make_unique<Rival>();
  int woke = 0;
  first->start(reactor, second, woke);
  second->start(reactor, first, woke);
  reactor.run(yield_often(reactor));
  CHECK(woke == 1);
  CHECK(first != nullptr);
  CHECK(second == nullptr);
}

/// Gives nothing, and removes itself from the reactor when it is polled.
class LeavingSource final : public PollSource {
 public:
  explicit LeavingSource(Reactor& reactor) : reactor_(reactor) { reactor.add(*this); }
  bool poll() override {
    reactor_.remove(*this);
    return false;
  }

 private:
  Reactor& reactor_;
};

/// Counts how often it is polled, prepared and let go.
class CountingSource final : public PollSource {
 public:
  explicit CountingSource(Reactor& reactor) : reactor_(reactor) { reactor.add(*this); }
  CountingSource(const CountingSource&) = delete;
  CountingSource& operator=(const CountingSource&) = delete;
  ~CountingSource() { reactor_.remove(*this); }
  bool poll() override {
    ++polled;
    return false;
  }
  void prepare_to_block() override {
    CHECK(!prepared);
    prepared = true;
    polled = 0;
  }
  void stop_blocking() override {
    CHECK(prepared);
    // What was put in between the last poll and the preparation would wake nobody.
    CHECK(polled == 1);
    prepared = false;
    ++blocked;
  }

  int polled = 0;
  int blocked = 0;
  bool prepared = false;

 private:
  Reactor& reactor_;
};

TEST_CASE("a source is polled once more after it was prepared for a block, and then let go") {
  Reactor reactor;
  CountingSource source(reactor);
  const auto main = [&]() -> Task<void> {
    co_await reactor.sleep_until(Clock::now() + std::chrono::milliseconds(1));
  };
  reactor.run(main());
  CHECK(source.blocked > 0);
  CHECK(!source.prepared);
}

TEST_CASE("a source that removes itself while it is polled does not cost the next one its poll") {
  Reactor reactor;
  LeavingSource leaving(reactor);
  CountingSource source(reactor);
  const auto main = [&]() -> Task<void> {
    CHECK(source.polled == 1);
    co_return;
  };
  reactor.run(main());
}

TEST_CASE("a task may be spawned by the destructor of one that run destroys, and goes with it") {
  Reactor reactor;
  int destroyed = 0;
  struct Count {
    int& count;
    ~Count() { ++count; }
  };
  const auto last = [](Count) -> Task<void> { co_return; };
  struct Spawner {
    Reactor& reactor;
    std::function<Task<void>()> make;
    ~Spawner() { reactor.spawn(make()); }
  };
  const auto waits = [&]() -> Task<void> {
    const Spawner spawner{reactor, [&] { return last(Count{destroyed}); }};
    co_await reactor.sleep_until(kNever);
  };
  reactor.spawn(waits());
  reactor.run(yield_often(reactor));
  CHECK(destroyed > 0);
}

}  // namespace
}  // namespace handoff

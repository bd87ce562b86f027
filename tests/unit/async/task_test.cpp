// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <coroutine>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <handoff/async/task.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

static_assert(!std::is_copy_constructible_v<Task<int>> && !std::is_copy_assignable_v<Task<int>>);

/// Where a coroutine waits until the test goes on with it.
struct Gate {
  std::coroutine_handle<> waiter;

  auto operator co_await() {
    struct Awaiter {
      Gate& gate;
      bool await_ready() const { return false; }
      void await_suspend(std::coroutine_handle<> frame) { gate.waiter = frame; }
      void await_resume() const {}
    };
    return Awaiter{*this};
  }
  void open() { std::exchange(waiter, nullptr).resume(); }
};

/// Starts a task by hand and owns it.
class Started {
 public:
  explicit Started(Task<void> task) : frame_(task.release()) { frame_.resume(); }
  Started(const Started&) = delete;
  Started& operator=(const Started&) = delete;
  ~Started() { frame_.destroy(); }

  bool done() const { return frame_.done(); }
  void rethrow() const { frame_.promise().take(); }

 private:
  Task<void>::Handle frame_;
};

Task<int> give(int value) {
  co_return value;
}

Task<int> fail() {
  throw std::runtime_error("failed");
  co_return 0;
}

TEST_CASE("a task gives its value") {
  int result = 0;
  const auto main = [&]() -> Task<void> { result = co_await give(7); };
  const Started started(main());
  CHECK(started.done());
  CHECK(result == 7);
}

TEST_CASE("a task starts when it is awaited, and not before") {
  bool ran = false;
  const auto body = [&]() -> Task<void> {
    ran = true;
    co_return;
  };
  { const Task<void> never = body(); }
  CHECK(!ran);
  Task<void> task = body();
  CHECK(!ran);
  const auto main = [&]() -> Task<void> { co_await std::move(task); };
  const Started started(main());
  CHECK(ran);
}

TEST_CASE("a result may be move-only, and its members are moved out") {
  const auto make = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
  std::unique_ptr<int> result;
  const auto main = [&]() -> Task<void> { result = co_await make(); };
  const Started started(main());
  REQUIRE(result);
  CHECK(*result == 7);
}

TEST_CASE("a result need not have a default") {
  struct Number {
    explicit Number(int initial) : value(initial) {}
    int value;
  };
  const auto make = []() -> Task<Number> { co_return Number(7); };
  int result = 0;
  const auto main = [&]() -> Task<void> {
    const Number number = co_await make();
    result = number.value;
  };
  const Started started(main());
  CHECK(result == 7);
}

TEST_CASE("an exception comes out of the await, and goes on if nobody catches it") {
  std::string caught;
  const auto catching = [&]() -> Task<void> {
    try {
      (void)co_await fail();
    } catch (const std::runtime_error& error) { caught = error.what(); }
  };
  const Started first(catching());
  CHECK(first.done());
  CHECK(caught == "failed");

  const auto middle = []() -> Task<void> { (void)co_await fail(); };
  const auto main = [&]() -> Task<void> { co_await middle(); };
  const Started second(main());
  CHECK(second.done());
  CHECK_THROWS_WITH_AS(second.rethrow(), "failed", std::runtime_error);
}

TEST_CASE("a task that waits goes on where it was, and so does who awaits it") {
  Gate gate;
  std::vector<int> steps;
  const auto inner = [&]() -> Task<int> {
    steps.push_back(1);
    co_await gate;
    steps.push_back(3);
    co_return 4;
  };
  const auto outer = [&]() -> Task<void> {
    const int result = co_await inner();
    steps.push_back(result);
  };
  const Started started(outer());
  steps.push_back(2);
  CHECK(!started.done());
  gate.open();
  CHECK(started.done());
  CHECK(steps == std::vector<int>{1, 2, 3, 4});
}

TEST_CASE("a task that is destroyed while it waits frees what it holds, all the way down") {
  Gate gate;
  const auto held = std::make_shared<int>();
  const auto inner = [&](std::shared_ptr<int> parameter) -> Task<void> {
    const std::shared_ptr<int> local = parameter;
    co_await gate;
  };
  const auto outer = [&]() -> Task<void> {
    const std::shared_ptr<int> local = held;
    co_await inner(held);
  };
  {
    const Started started(outer());
    CHECK(held.use_count() > 3);
    CHECK(!started.done());
  }
  CHECK(held.use_count() == 1);
}

TEST_CASE("a task that never started frees its parameters") {
  const auto held = std::make_shared<int>();
  const auto body = [](std::shared_ptr<int>) -> Task<void> { co_return; };
  {
    const Task<void> task = body(held);
    CHECK(held.use_count() == 2);
  }
  CHECK(held.use_count() == 1);
}

TEST_CASE("moving a task moves who destroys it") {
  const auto held = std::make_shared<int>();
  const auto body = [](std::shared_ptr<int>) -> Task<void> { co_return; };
  Task<void> first = body(held);
  Task<void> second = std::move(first);
  CHECK(held.use_count() == 2);
  Task<void> third = body(held);
  CHECK(held.use_count() == 3);
  third = std::move(second);
  CHECK(held.use_count() == 2);
  Task<void>& alias = third;
  third = std::move(alias);
  CHECK(held.use_count() == 2);
  third = Task<void>();
  CHECK(held.use_count() == 1);
}

TEST_CASE("what an ended task held is freed before who awaits it goes on past the statement") {
  const auto held = std::make_shared<int>();
  const auto body = [](std::shared_ptr<int>) -> Task<int> { co_return 1; };
  long count_after = 0;
  const auto main = [&]() -> Task<void> {
    (void)co_await body(held);
    count_after = held.use_count();
  };
  const Started started(main());
  CHECK(count_after == 1);
}

TEST_CASE("thousands of awaits that complete at once, in a row and in one another") {
  // Few enough for GCC 12, which uses stack for each (design.md).
  int sum = 0;
  const auto loop = [&]() -> Task<void> {
    for (int i = 0; i < 3000; ++i) { sum += co_await give(1); }
  };
  const Started in_a_row(loop());
  CHECK(sum == 3000);

  struct Recursion {
    static Task<int> down(int depth) {
      if (depth == 0) { co_return 0; }
      const int below = co_await down(depth - 1);
      co_return below + 1;
    }
  };
  const auto deep = [&]() -> Task<void> { sum = co_await Recursion::down(1000); };
  const Started in_one_another(deep());
  CHECK(sum == 1000);
}

}  // namespace
}  // namespace handoff

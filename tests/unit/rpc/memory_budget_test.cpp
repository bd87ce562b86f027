// SPDX-License-Identifier: MIT
#include "rpc/memory_budget.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <thread>
#include <vector>

#include "rpc/reply_estimate.hpp"
#include "rpc/server_context.hpp"

namespace handoff {
namespace {

using Share = MemoryBudget::Share;

TEST_CASE("a budget holds what its shares hold, until they are gone") {
  MemoryBudget budget(100);
  Share one(budget);
  one.set(60);
  {
    Share other(budget);
    other.set(30);
    CHECK(budget.held() == 90);
    CHECK(budget.has_room());
    other.set(40);
    CHECK(!budget.has_room());
    other.set(10);
    CHECK(budget.held() == 70);
  }
  CHECK(budget.held() == 60);
  one.set(0);
  CHECK(budget.held() == 0);
}

TEST_CASE("while a budget is used up one share goes on, until it holds nothing") {
  MemoryBudget budget(100);
  Share full(budget);
  full.set(100);
  auto one = std::make_unique<Share>(budget);
  Share other(budget);
  CHECK(one->may_start_call());
  CHECK(one->may_start_call());
  CHECK(!other.may_start_call());
  SUBCASE("because it was done with what it did") {
    one->set(10);
    CHECK(!other.may_start_call());
    one->set(0);
  }
  SUBCASE("because it held nothing all the time") {
    one->set(0);
  }
  SUBCASE("or waits for its client") {
    one->set(10);
    one->wait_for_client();
  }
  SUBCASE("or is gone") {
    one->set(10);
    one.reset();
  }
  CHECK(other.may_start_call());
}

TEST_CASE("when a budget has room again the exemption is over") {
  MemoryBudget budget(100);
  Share full(budget);
  full.set(100);
  Share one(budget);
  Share other(budget);
  one.set(10);
  CHECK(one.may_start_call());
  full.set(0);
  one.set(10);
  full.set(100);
  CHECK(other.may_start_call());
}

TEST_CASE("several threads use one budget") {
  MemoryBudget budget(1000);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&budget] {
      Share share(budget);
      for (std::size_t size = 0; size < 20'000; ++size) {
        share.set(size % 701);
        share.may_start_call();
      }
    });
  }
  for (std::thread& thread : threads) { thread.join(); }
  CHECK(budget.held() == 0);
  Share one(budget);
  Share other(budget);
  other.set(1000);
  CHECK(one.may_start_call());  // nobody has kept the exemption
}

TEST_CASE("a connection may hold 8 MiB, less of a small budget, and always two frames") {
  SessionLimits limits;
  CHECK(limits.connection_memory() == 8 << 20);
  limits.memory = std::make_shared<MemoryBudget>(4 << 20);
  CHECK(limits.connection_memory() == 4 << 20);
  limits.max_frame = 20 << 20;
  CHECK(limits.connection_memory() == 40 << 20);
}

TEST_CASE("long replies are expected at first, and after each one; fewer with each short one") {
  ReplyEstimate estimate(16 << 20, 8 << 20);
  CHECK(estimate.bytes() == 1 << 20);
  estimate.reply_came(100);
  CHECK(estimate.bytes() == 1 << 19);
  estimate.reply_came(3 << 20);
  CHECK(estimate.bytes() == 3 << 20);
  estimate.calls_take_long();
  CHECK(estimate.bytes() == 3 << 19);
  for (int i = 0; i < 100; ++i) { estimate.reply_came(0); }
  CHECK(estimate.bytes() == ReplyEstimate::kLeast);
  CHECK(ReplyEstimate(16 << 20, 1000).bytes() == 1000);
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "master/custody.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "unit/support.hpp"

namespace handoff {
namespace {

TEST_CASE("what is held is counted until it is let go, wherever it was moved") {
  Reactor reactor;
  Custody custody(reactor, 1);
  std::vector<Custody::Hold> holds;
  holds.emplace_back(custody, 2);
  holds.emplace_back(custody, 1);
  CHECK(custody.descriptors() == 3);
  Custody::Hold moved = std::move(holds.front());
  holds.front() = Custody::Hold(custody, 5);
  CHECK(custody.descriptors() == 8);
  holds.clear();
  CHECK(custody.descriptors() == 2);
  moved = Custody::Hold();
  CHECK(custody.descriptors() == 0);
}

TEST_CASE("there is room for a message, within a limit that can change at any time") {
  Reactor reactor;
  Custody custody(reactor, 18);  // with the 64 of the master itself, 100 are kept back
  const test::DescriptorLimit limit(400);
  CHECK(custody.capacity() == 300);
  Custody::Hold most(custody, 267);
  CHECK(custody.has_room());
  {
    const Custody::Hold one(custody, 1);
    CHECK_FALSE(custody.has_room());
    custody.set_workers(17);
    CHECK(custody.has_room());
  }
  const test::DescriptorLimit lower(300);
  CHECK_FALSE(custody.has_room());
}

TEST_CASE("a master that holds next to nothing takes a message under any limit") {
  Reactor reactor;
  Custody custody(reactor, 1);
  const test::DescriptorLimit limit(50);
  CHECK(custody.capacity() == 0);
  CHECK(custody.has_room());
  const Custody::Hold hold(custody, 32);
  CHECK_FALSE(custody.has_room());
}

TEST_CASE("the first copy that cannot be kept is told, and no other") {
  Reactor reactor;
  Custody custody(reactor, 18);
  const test::DescriptorLimit limit(300);  // 200 for connections, 128 of them for those in hand
  std::vector<std::string> told;
  custody.on_unkept = [&](const std::string& why) { told.push_back(why); };
  for (int i = 0; i < 72; ++i) {
    CHECK(custody.may_keep());
    custody.keep();
  }
  CHECK(told.empty());
  CHECK_FALSE(custody.may_keep());
  CHECK_FALSE(custody.may_keep());
  custody.tell_unkept("another reason");
  CHECK(told ==
        std::vector<std::string>{"the limit of 300 open files has room for 72 copies (raise it)"});
  custody.let_go();
  CHECK(custody.may_keep());
}

TEST_CASE("copies leave room for connections that are in hand") {
  Reactor reactor;
  const Custody custody(reactor, 18);
  const test::DescriptorLimit limit(300);
  CHECK(custody.capacity_in_hand() == 128);
  const test::DescriptorLimit higher(900);
  CHECK(custody.capacity_in_hand() == 128);
  const test::DescriptorLimit low(150);
  CHECK(custody.capacity_in_hand() == 50);
}

TEST_CASE("bytes that came with connections are limited as descriptors are") {
  Reactor reactor;
  Custody custody(reactor, 1);
  const Custody::Hold most(custody, 2, 0, Custody::kMaxUnread - 1);
  CHECK(custody.has_room());
  Custody::Hold one(custody, 1, 0, 1);
  CHECK_FALSE(custody.has_room());
  one = Custody::Hold();
  CHECK(custody.has_room());
}

TEST_CASE("those that wait for room are woken one at a time, in their order") {
  Reactor reactor;
  Custody custody(reactor, 18);
  const test::DescriptorLimit limit(400);
  std::deque<Custody::Hold> holds;
  for (int i = 0; i < 300; ++i) { holds.emplace_back(custody, 1); }
  std::vector<int> woken;
  const auto wait = [&](int number) -> Task<void> {
    co_await custody.wait();
    woken.push_back(number);
  };
  reactor.run([&]() -> Task<void> {
    for (int number = 1; number <= 3; ++number) { reactor.spawn(wait(number)); }
    co_await reactor.yield();
    for (int i = 0; i < 32; ++i) {
      holds.pop_front();  // not yet: 268 are left
    }
    co_await reactor.yield();
    CHECK(woken.empty());
    holds.pop_front();
    co_await reactor.yield();
    CHECK(woken == std::vector<int>{1});
    holds.pop_front();
    co_await reactor.yield();
    CHECK(woken == std::vector<int>{1, 2});
  }());
}

TEST_CASE("one that waits looks again after a while, for room can come from elsewhere") {
  Reactor reactor;
  Custody custody(reactor, 1);
  reactor.run([&]() -> Task<void> { co_await custody.wait(); }());
}

TEST_CASE("a predecessor is told of each connection of its own that is in other hands") {
  Reactor reactor;
  Custody custody(reactor, 1);
  std::vector<std::uint64_t> told;
  custody.on_passed_on = [&](std::uint64_t id) { told.push_back(id); };
  {
    const Custody::Hold of_the_predecessor(custody, 1, 7);
    const Custody::Hold own(custody, 1);
    CHECK(told.empty());
  }
  CHECK(told == std::vector<std::uint64_t>{7});
}

}  // namespace
}  // namespace handoff

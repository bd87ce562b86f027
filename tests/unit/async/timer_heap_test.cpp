// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/timer_heap.hpp>

namespace handoff {
namespace {

using std::chrono::seconds;

/// The heap has no clock: these tests say what time it is.
constexpr TimePoint kStart = TimePoint(seconds(1000));

struct TestNode final : TimerHeap::Node {
  TestNode(TimerHeap& its_heap, std::function<void()> its_action)
      : heap(its_heap), action(std::move(its_action)) {}
  ~TestNode() { heap.disarm(*this); }
  void on_timer() override {
    const auto copy = action;  // it may destroy this node
    copy();
  }

  TimerHeap& heap;
  std::function<void()> action;
};

/// Fires all that is due. Returns how many nodes that were.
int fire_all(TimerHeap& heap, TimePoint now) {
  int count = 0;
  while (heap.fire_next(now)) { ++count; }
  return count;
}

/// Nodes that note their letters.
struct Fixture {
  std::unique_ptr<TestNode> make(char letter) {
    return std::make_unique<TestNode>(heap, [this, letter] { fired += letter; });
  }

  TimerHeap heap;
  std::string fired;
};

TEST_CASE("an empty heap is never due") {
  TimerHeap heap;
  CHECK(heap.is_empty());
  CHECK(heap.next() == kNever);
  CHECK(!heap.fire_next(kNever));
}

TEST_CASE("nodes fire in the order of their times, each once, and none before its time") {
  Fixture fixture;
  constexpr int kCount = 26;
  std::vector<std::unique_ptr<TestNode>> nodes;
  for (int i = 0; i < kCount; ++i) { nodes.push_back(fixture.make(static_cast<char>('a' + i))); }
  std::vector<int> order(kCount);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same order each time
  std::shuffle(order.begin(), order.end(), random);
  for (const int i : order) {
    fixture.heap.arm(*nodes[static_cast<std::size_t>(i)], kStart + seconds(i));
  }

  CHECK(fixture.heap.next() == kStart);
  CHECK(fire_all(fixture.heap, kStart - Duration(1)) == 0);
  CHECK(fire_all(fixture.heap, kStart + seconds(2)) == 3);
  CHECK(fixture.fired == "abc");
  CHECK(fire_all(fixture.heap, kStart + seconds(100)) == kCount - 3);
  CHECK(fixture.fired == "abcdefghijklmnopqrstuvwxyz");
  CHECK(fixture.heap.is_empty());
}

TEST_CASE("nodes that are removed from the middle leave the others in order") {
  // Each node is removed once from a heap of its size, so that the last entry, which takes its
  // place, has to rise in some of them and to sink in others.
  constexpr std::size_t kCount = 20;
  const std::array<int, kCount> times = {1,  10, 2, 12, 11, 3,  4,  13, 14, 15,
                                         16, 5,  6, 7,  8,  17, 18, 19, 20, 9};
  for (std::size_t removed = 0; removed < kCount; ++removed) {
    Fixture fixture;
    std::vector<std::unique_ptr<TestNode>> nodes;
    std::string expected;
    for (std::size_t i = 0; i < kCount; ++i) {
      nodes.push_back(fixture.make(static_cast<char>('a' + times[i])));
      fixture.heap.arm(*nodes.back(), kStart + seconds(times[i]));
      if (i != removed) { expected += static_cast<char>('a' + times[i]); }
    }
    std::sort(expected.begin(), expected.end());
    nodes[removed].reset();
    CHECK(fire_all(fixture.heap, kStart + seconds(100)) == kCount - 1);
    CHECK(fixture.fired == expected);
  }
}

TEST_CASE("a node that is armed again fires at the new time only, earlier or later") {
  Fixture fixture;
  const auto moved = fixture.make('m');
  const auto other = fixture.make('o');
  fixture.heap.arm(*other, kStart + seconds(2));
  fixture.heap.arm(*moved, kStart + seconds(5));
  fixture.heap.arm(*moved, kStart + seconds(1));
  CHECK(fixture.heap.next() == kStart + seconds(1));
  CHECK(fire_all(fixture.heap, kStart + seconds(1)) == 1);

  fixture.heap.arm(*moved, kStart + seconds(1));
  fixture.heap.arm(*moved, kStart + seconds(4));
  fixture.heap.arm(*moved, kStart + seconds(3));
  CHECK(fire_all(fixture.heap, kStart + seconds(2)) == 1);
  CHECK(fixture.fired == "mo");
  CHECK(fixture.heap.next() == kStart + seconds(3));
  CHECK(fire_all(fixture.heap, kStart + seconds(3)) == 1);
  CHECK(fixture.fired == "mom");
  CHECK(fixture.heap.is_empty());
}

TEST_CASE("a node that is postponed again and again keeps no other from firing") {
  Fixture fixture;
  const auto idle = fixture.make('i');
  const auto other = fixture.make('o');
  fixture.heap.arm(*other, kStart + seconds(50));
  for (int i = 0; i < 100; ++i) {
    fixture.heap.arm(*idle, kStart + seconds(i + 10));
    CHECK(fire_all(fixture.heap, kStart + seconds(i)) == (i == 50 ? 1 : 0));
  }
  CHECK(fixture.fired == "o");
}

TEST_CASE("nodes of equal times all fire, and kNever disarms") {
  Fixture fixture;
  std::vector<std::unique_ptr<TestNode>> nodes;
  for (int i = 0; i < 9; ++i) {
    nodes.push_back(fixture.make('x'));
    fixture.heap.arm(*nodes.back(), kStart);
  }
  fixture.heap.arm(*nodes[4], kNever);
  CHECK(!nodes[4]->is_armed());
  CHECK(fire_all(fixture.heap, kStart) == 8);
  CHECK(fixture.fired == "xxxxxxxx");
}

TEST_CASE("an action may arm a node: one that is due fires too, another when its time comes") {
  Fixture fixture;
  const auto due = fixture.make('d');
  const auto later = fixture.make('l');
  TestNode first(fixture.heap, [&] {
    fixture.fired += 'f';
    fixture.heap.arm(*due, kStart - seconds(1));
    fixture.heap.arm(*later, kStart + seconds(1));
  });
  fixture.heap.arm(first, kStart);
  CHECK(fire_all(fixture.heap, kStart) == 2);
  CHECK(fixture.fired == "fd");
  CHECK(fire_all(fixture.heap, kStart + seconds(1)) == 1);
  CHECK(fixture.fired == "fdl");
}

TEST_CASE("an action may arm its own node again") {
  TimerHeap heap;
  int count = 0;
  TestNode node(heap, [&] {
    if (++count < 3) { heap.arm(node, kStart + seconds(count)); }
  });
  heap.arm(node, kStart);
  CHECK(fire_all(heap, kStart) == 1);
  CHECK(fire_all(heap, kStart + seconds(10)) == 2);
  CHECK(count == 3);
  CHECK(!node.is_armed());
}

TEST_CASE("an action may destroy its own node, and others that are due") {
  Fixture fixture;
  std::vector<std::unique_ptr<TestNode>> nodes(5);
  for (auto& node : nodes) {
    node = std::make_unique<TestNode>(fixture.heap, [&] {
      fixture.fired += 'x';
      for (auto& any : nodes) { any.reset(); }
    });
    fixture.heap.arm(*node, kStart);
  }
  CHECK(fire_all(fixture.heap, kStart) == 1);
  CHECK(fixture.fired == "x");
  CHECK(fixture.heap.is_empty());
}

}  // namespace
}  // namespace handoff

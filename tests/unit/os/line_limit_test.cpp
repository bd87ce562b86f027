// SPDX-License-Identifier: MIT
#include "os/line_limit.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace handoff {
namespace {

using namespace std::chrono_literals;

/// A limit, and a clock that the test moves.
struct LimitTest {
  explicit LimitTest(std::size_t burst = 1) : limit(burst, 1s) {}

  bool admits(const std::string& line) { return limit.admits(line, now); }
  std::optional<std::string> after(std::chrono::nanoseconds time) {
    now += time;
    return limit.take_due(now);
  }

  LineLimit limit;
  LineLimit::Time now{1h};
};

TEST_CASE("the first line is said at once, and the next within a second is kept") {
  LimitTest test;
  CHECK(test.admits("one"));
  CHECK(!test.admits("two"));
  CHECK(test.limit.due() == test.now + 1s);
}

TEST_CASE("lines that are a second apart are all said") {
  LimitTest test;
  for (int i = 0; i < 5; ++i) {
    CHECK(test.admits("line"));
    CHECK(test.after(1s) == std::nullopt);
  }
}

TEST_CASE("of those that are kept, the last is said when its second is over, with their number") {
  LimitTest test;
  CHECK(test.admits("one"));
  for (const char* line : {"two", "three", "four"}) { CHECK(!test.admits(line)); }
  CHECK(test.after(999ms) == std::nullopt);
  CHECK(test.after(1ms) == "four (and 2 more like it)");
  CHECK(test.after(10s) == std::nullopt);
}

TEST_CASE("a single line that was kept is said as it is") {
  LimitTest test;
  CHECK(test.admits("one"));
  CHECK(!test.admits("two"));
  CHECK(test.after(1s) == "two");
}

TEST_CASE("a run without an end makes one line a second, and counts every other") {
  LimitTest test;
  std::vector<std::string> said;
  for (int i = 0; i < 10'000; ++i) {  // for ten seconds
    if (test.admits("line")) { said.emplace_back("line"); }
    if (const auto line = test.after(1ms)) { said.push_back(*line); }
  }
  REQUIRE(said.size() == 11);
  CHECK(said.front() == "line");
  CHECK(said[1] == "line (and 998 more like it)");
  CHECK(said.back() == "line (and 999 more like it)");
}

TEST_CASE("what was kept is not lost at the end") {
  LimitTest test;
  CHECK(test.limit.take_rest() == std::nullopt);
  CHECK(test.admits("one"));
  CHECK(test.limit.take_rest() == std::nullopt);
  for (const char* line : {"two", "three"}) { CHECK(!test.admits(line)); }
  CHECK(test.limit.take_rest() == "three (and 1 more like it)");
  CHECK(test.limit.take_rest() == std::nullopt);
}

TEST_CASE("a burst is said at once; what exceeds it is kept until the second is over") {
  LimitTest test(3);
  for (int i = 0; i < 3; ++i) { CHECK(test.admits("line")); }
  CHECK(!test.admits("fourth"));
  CHECK(test.after(1s) == "fourth");
  CHECK(!test.admits("fifth"));  // the second after a full one has no burst
  CHECK(test.after(1s) == "fifth");
  CHECK(test.after(1s) == std::nullopt);
  for (int i = 0; i < 3; ++i) { CHECK(test.admits("line")); }
}

}  // namespace
}  // namespace handoff

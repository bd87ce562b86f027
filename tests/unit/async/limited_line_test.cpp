// SPDX-License-Identifier: MIT
#include "async/limited_line.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace handoff {
namespace {

constexpr std::size_t kMany = 10'000;

/// A limited line that has been asked to say `kMany` lines at once, and what it said.
struct Run {
  Run()
      : limited(
            std::in_place, reactor, [this](std::string_view line) { said.emplace_back(line); }, 1,
            std::chrono::milliseconds(20)) {
    for (std::size_t i = 0; i < kMany; ++i) { (*limited)("line"); }
  }

  /// How many lines those that were said stand for.
  std::size_t accounted() const {
    std::size_t count = 0;
    for (const std::string& line : said) {
      const auto and_more = line.find("(and ");
      count += 1 + (and_more == std::string::npos ? 0 : std::stoul(line.substr(and_more + 5)));
    }
    return count;
  }

  Reactor reactor;
  std::vector<std::string> said;
  std::optional<LimitedLine> limited;
};

TEST_CASE("what was kept of a run of lines is said by itself, and every line counts") {
  Run run;
  REQUIRE(!run.said.empty());
  CHECK(run.said.front() == "line");
  CHECK(run.said.size() < kMany / 10);
  const auto until_all_are_said = [&run]() -> Task<void> {
    while (run.accounted() < kMany) {
      co_await run.reactor.sleep_until(run.reactor.now() + std::chrono::milliseconds(1));
    }
  };
  run.reactor.run(until_all_are_said());
  CHECK(run.accounted() == kMany);
}

TEST_CASE("what is still kept at the end is said then") {
  Run run;
  run.limited.reset();
  CHECK(run.accounted() == kMany);
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "methods/method_log.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include <handoff/async/reactor.hpp>

namespace handoff {
namespace {

constexpr std::size_t kMany = 10'000;

TEST_CASE("a line of a method's stderr is logged with the method's name") {
  Reactor reactor;
  std::vector<std::string> said;
  MethodLog log(reactor, [&said](std::string_view line) { said.emplace_back(line); });
  log.write("sum", "no numbers");
  CHECK(said == std::vector<std::string>{"method sum: no numbers"});
}

TEST_CASE("a method that writes much to its stderr has few lines, and does not silence another") {
  Reactor reactor;
  std::vector<std::string> said;
  {
    MethodLog log(reactor, [&said](std::string_view line) { said.emplace_back(line); });
    for (std::size_t i = 0; i < kMany; ++i) { log.write("loud", "line"); }
    CHECK(said.size() <= 2 * MethodLog::kBurst);
    log.write("quiet", "line");
    CHECK(said.back() == "method quiet: line");
  }
  REQUIRE(said.back().starts_with("method loud: line (and "));
  CHECK(said.back().ends_with(" more like it)"));
}

}  // namespace
}  // namespace handoff

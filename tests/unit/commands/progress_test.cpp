// SPDX-License-Identifier: MIT
#include "commands/progress.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using namespace std::chrono_literals;

TEST_CASE("progress is told by lines, their rate and their errors") {
  CHECK(describe_progress({1200, 2}, {}, 4s) == "1200 lines, 300/s, 2 errors");
  CHECK(describe_progress({1, 1}, {}, 2s) == "1 line, 0/s, 1 error");
  CHECK(describe_progress({0, 0}, {}, 0s) == "0 lines, 0/s, 0 errors");
}

TEST_CASE("of a file it is told how much was read, and how long the rest takes") {
  CHECK(describe_progress({100, 0}, {40, 100}, 4s) ==
        "100 lines, 25/s, 0 errors, 40% read, 6s left");
  CHECK(describe_progress({100, 0}, {100, 100}, 4s) == "100 lines, 25/s, 0 errors, 100% read");
  // Nothing was read yet, or too little time has passed for a forecast.
  CHECK(describe_progress({0, 0}, {0, 100}, 4s) == "0 lines, 0/s, 0 errors, 0% read");
  CHECK(describe_progress({1, 0}, {40, 100}, 500ms) == "1 line, 2/s, 0 errors, 40% read");
}

TEST_CASE("progress that was started is shown once more at the end, and else not") {
  Reactor reactor;
  Pipe errors = make_pipe();
  std::string expected;
  {
    StderrLog log("tool", errors.write_end.get());
    Progress progress(reactor, log, [] { return LineCounts{7, 0}; });
    SUBCASE("started") {
      progress.start();
      expected = "7 lines";
    }
    SUBCASE("not started") {}
    progress.finish();
    progress.finish();
  }
  errors.write_end.reset();
  const std::string said = test::read_until_end(errors.read_end.get());
  CHECK(said.substr(0, 7) == expected);
  CHECK(said.find('\n') == (expected.empty() ? std::string::npos : said.size() - 1));
}

}  // namespace
}  // namespace handoff

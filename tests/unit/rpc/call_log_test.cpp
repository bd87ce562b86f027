// SPDX-License-Identifier: MIT
#include "rpc/call_log.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace handoff {
namespace {

using Calls = CallLog::Calls;

/// A log, and its lines.
struct Log {
  explicit Log(Calls which)
      : calls(which, [this](std::string_view line) { lines.emplace_back(line); }) {}

  std::vector<std::string> lines;
  CallLog calls;
};

/// Returns the line of a call that begins now.
std::string line_of(std::string_view method, std::string_view peer) {
  Log log(Calls::all);
  log.calls.ended(method, peer, ErrorCode{}, Clock::now());
  REQUIRE(log.lines.size() == 1);
  return log.lines[0].substr(0, log.lines[0].rfind(": ok, "));
}

TEST_CASE(
    "a line of the log of calls has the method, the client, how the call ended, and its time") {
  Log log(Calls::all);
  log.calls.ended("sum", "127.0.0.1:40312", ErrorCode{}, Clock::now());
  log.calls.ended("none", "unix", ErrorCode::method_not_found,
                  Clock::now() - std::chrono::milliseconds(1500));
  log.calls.cut_off("slow", "unix", Clock::now());
  log.calls.refused("unix", ErrorCode::parse_error);
  REQUIRE(log.lines.size() == 4);
  const auto matches = [&log](std::size_t line, const char* pattern) {
    return std::regex_match(log.lines[line], std::regex(pattern));
  };
  CHECK(matches(0, R"(call sum from 127\.0\.0\.1:40312: ok, [0-9]+\.[0-9]{3} ms)"));
  CHECK(matches(1, R"(call none from unix: error -32601, (15|16)[0-9]{2}\.[0-9]{3} ms)"));
  CHECK(matches(2, R"(call slow from unix: cut off, [0-9]+\.[0-9]{3} ms)"));
  CHECK(log.lines[3] == "bad request from unix: error -32700");
}

TEST_CASE("a log of the calls that fail has no line for one that succeeds") {
  Log log(Calls::failed);
  log.calls.ended("sum", "unix", ErrorCode{}, Clock::now());
  CHECK(log.lines.empty());
  log.calls.ended("sum", "unix", ErrorCode::handler_failed, Clock::now());
  log.calls.cut_off("sum", "unix", Clock::now());
  log.calls.refused("unix", ErrorCode::invalid_request);
  CHECK(log.lines.size() == 3);
}

TEST_CASE("a name that a client has chosen passes for nothing else in a line") {
  CHECK(line_of("a from b: ok, 1 ms", "unix") == R"(call "a from b: ok, 1 ms" from unix)");
  CHECK(line_of("a\nb\"c", "/tmp/my socket") == R"(call "a\nb\"c" from "/tmp/my socket")");
  CHECK(line_of("", "unix") == R"(call "" from unix)");
  CHECK(line_of("caf\xC3\xA9", "unix") == "call \"caf\xC3\xA9\" from unix");
}

TEST_CASE("the start of a long name is in a line, and no half of a character") {
  const std::string longest(CallLog::kMostOfName, 'x');
  CHECK(line_of(longest, "unix") == "call " + longest + " from unix");
  CHECK(line_of(longest + "y", "unix") == "call " + longest + "... from unix");
  const std::string start(CallLog::kMostOfName - 1, 'x');
  CHECK(line_of(start + "\xC3\xA9", "unix") == "call " + start + "... from unix");
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "rpc/call_log.hpp"
#include "unit/rpc/session_fixture.hpp"

namespace handoff {
namespace {

/// What is logged of the calls on a connection.
struct Logged {
  explicit Logged(SessionLimits limits = {}) : sessions(limits, {.calls = &log}) {}

  static std::string without_time(std::string_view line) {
    return std::regex_replace(std::string(line), std::regex(R"([0-9]+\.[0-9]{3} ms)"), "T");
  }

  /// Sends this, and returns when so many replies have come.
  void ask(const std::string& text, int replies) {
    const Fd client = sessions.open(text);
    sessions.reactor.run([](test::Sessions& of, const Fd& from, int count) -> Task<void> {
      for (int i = 0; i < count; ++i) { co_await of.line(from); }
      co_await of.settle();
    }(sessions, client, replies));
  }

  std::vector<std::string> lines;
  CallLog log{CallLog::Calls::all,
              [this](std::string_view line) { lines.push_back(without_time(line)); }};
  test::Sessions sessions;
};

using Lines = std::vector<std::string>;

TEST_CASE("a call that is answered at once has a line in the log, also when it fails") {
  Logged logged;
  logged.ask("{\"in\":\"echo\"}\n{\"in\":\"none\"}\n", 2);
  CHECK(logged.lines ==
        Lines{"call echo from unix: ok, T", "call none from unix: error -32601, T"});
}

TEST_CASE("a call that takes time has a line in the log when it has ended") {
  Logged logged;
  const Fd client = logged.sessions.open(std::string(test::kSlow));
  logged.sessions.reactor.run([](Logged& of, const Fd& from) -> Task<void> {
    co_await of.sessions.until_begun(1);
    CHECK(of.lines.empty());
    of.sessions.set_go();
    co_await of.sessions.line(from);
  }(logged, client));
  CHECK(logged.lines == Lines{"call slow from unix: ok, T"});
}

TEST_CASE("a reply that is too long is an error in the log") {
  SessionLimits limits;
  limits.max_frame = 1000;
  Logged logged(limits);
  logged.ask("{\"in\":\"big\"}\n", 1);
  CHECK(logged.lines == Lines{"call big from unix: error -32001, T"});
}

TEST_CASE("each call of a batch has a line in the log, and what is no request has one") {
  Logged logged;
  logged.sessions.go = true;
  logged.ask(
      R"([{"jsonrpc":"2.0","method":"echo","id":1},{"jsonrpc":"2.0","method":"none","id":2},)"
      R"({"jsonrpc":"2.0","method":"slow","id":3},5])"
      "\n",
      1);
  CHECK(logged.lines == Lines{"call echo from unix: ok, T", "call none from unix: error -32601, T",
                              "bad request from unix: error -32600", "call slow from unix: ok, T"});
}

TEST_CASE("notifications have lines in the log") {
  Logged logged;
  logged.sessions.go = true;
  logged.ask(R"({"jsonrpc":"2.0","method":"echo"})"
             "\n"
             R"({"jsonrpc":"2.0","method":"none"})"
             "\n"
             R"({"jsonrpc":"2.0","method":"slow"})"
             "\n"
             R"([{"jsonrpc":"2.0","method":"none"},{"jsonrpc":"2.0","method":"echo","id":1}])"
             "\n",
             1);
  CHECK(logged.lines == Lines{"call echo from unix: ok, T", "call none from unix: error -32601, T",
                              "call none from unix: error -32601, T", "call echo from unix: ok, T",
                              "call slow from unix: ok, T"});
}

TEST_CASE("a body that is no JSON has a line in the log") {
  Logged logged;
  logged.ask("{\"in\":\n", 1);
  CHECK(logged.lines == Lines{"bad request from unix: error -32700"});
}

TEST_CASE("a call whose connection is destroyed is cut off in the log") {
  Lines lines;
  {
    Logged logged;
    const Fd client = logged.sessions.open(std::string(test::kSlow));
    logged.sessions.reactor.run(
        [](Logged& of) -> Task<void> { co_await of.sessions.until_begun(1); }(logged));
    lines = logged.lines;
  }
  CHECK(lines == Lines{"call slow from unix: cut off, T"});
}

}  // namespace
}  // namespace handoff

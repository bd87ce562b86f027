// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "unit/rpc/session_calls_fixture.hpp"

namespace handoff::test {
namespace {

TEST_CASE("a begun call is answered when its executor finishes it, by the name of the call") {
  Calls calls;
  run(calls, [](Calls& self) -> Task<void> {
    CHECK(self.ask("{\"in\":\"x.one\",\"params\":[1],\"id\":5}").empty());
    REQUIRE(self.executor.calls.size() == 1);
    const CallView& view = self.executor.calls.front()->view();
    CHECK(view.method == "x.one");
    CHECK(view.params == "[1]");
    CHECK(view.id == "5");
    CHECK(view.peer == "client");
    CHECK(view.deadline > self.reactor.now());
    CHECK(self.calls.any_runs());
    CHECK(self.context.active_calls() == 1);
    self.executor.finish(0);
    CHECK(self.sent == "{\"out\":\"x.one\",\"result\":7,\"id\":5}\n");
    CHECK(!self.calls.any());
    CHECK(self.ended == 1);
    co_return;
  });
}

TEST_CASE("begun calls without ids are answered in order, also beside other answers") {
  Calls calls;
  run(calls, [](Calls& self) -> Task<void> {
    for (const char* method : {"x.1", "x.2", "echo", "x.3"}) { CHECK(self.call(method).empty()); }
    self.executor.finish(2);
    self.executor.finish(1);
    CHECK(self.sent.empty());
    CHECK(self.ended == 2);
    self.executor.finish(0);
    CHECK(self.sent ==
          "{\"out\":\"x.1\",\"result\":7}\n{\"out\":\"x.2\",\"result\":7}\n"
          "{\"out\":\"echo\",\"result\":null}\n{\"out\":\"x.3\",\"result\":7}\n");
    co_return;
  });
}

TEST_CASE("a batch of begun calls, and notifications of them, are answered as others are") {
  Calls calls;
  run(calls, [](Calls& self) -> Task<void> {
    self.ask("{\"jsonrpc\":\"2.0\",\"method\":\"x.note\",\"params\":[0]}");
    self.ask(
        "[{\"jsonrpc\":\"2.0\",\"method\":\"x.a\",\"id\":1},"
        "{\"jsonrpc\":\"2.0\",\"method\":\"x.b\",\"id\":2}]");
    while (self.executor.calls.size() > 1) { self.executor.finish(0); }
    CHECK(self.sent.empty());
    self.executor.finish(0);
    CHECK(self.sent ==
          "[{\"jsonrpc\":\"2.0\",\"result\":7,\"id\":1},"
          "{\"jsonrpc\":\"2.0\",\"result\":7,\"id\":2}]\n");
    co_return;
  });
}

TEST_CASE("a call that is finished while it begins is answered after what was answered before") {
  Calls calls;
  calls.executor.finishes_at_once = true;
  SUBCASE("or not begun, for its executor throws") {
    calls.executor.fails = true;
  }
  run(calls, [](Calls& self) -> Task<void> {
    CHECK(self.call("x.1").empty());
    CHECK(self.call("echo").empty());
    CHECK(self.sent.empty());
    co_await settle(self);
    const std::string_view sent = self.sent;
    CHECK(sent.starts_with("{\"out\":\"error\","));
    CHECK(sent.ends_with("\n{\"out\":\"echo\",\"result\":null}\n"));
    CHECK(sent.find(self.executor.fails ? "not begun" : "at once") != std::string_view::npos);
    CHECK(self.ended == 1);
  });
}

TEST_CASE("a begun call times out when its executor has said, and not when it was finished") {
  Calls calls;
  calls.executor.times_out = Clock::now() + std::chrono::milliseconds(5);
  run(calls, [](Calls& self) -> Task<void> {
    self.ask("{\"in\":\"x.1\",\"id\":1}");
    self.ask("{\"in\":\"x.2\",\"id\":2}");
    self.executor.finish(0);
    while (self.ended < 2) { co_await self.reactor.yield(); }
    CHECK(Clock::now() >= self.executor.times_out);
    CHECK(self.sent.starts_with("{\"out\":\"x.1\",\"result\":7,\"id\":1}\n"));
    CHECK(self.sent.find("late") != std::string::npos);
  });
}

TEST_CASE("begun calls go on when their client has left, and are cancelled with their connection") {
  Calls calls;
  calls.reactor.run([](Calls& self) -> Task<void> {
    self.call("x.1");
    self.call("x.2");
    self.now.client_has_left = true;
    self.calls.end_for_no_client();
    co_await settle(self);
    CHECK(self.executor.calls.size() == 2);
    CHECK(self.ended == 0);
  }(calls));
  {
    SessionCalls others(calls.context, calls, Dialect::article);
    ReceiveBuffer body(100);
    body.append(std::string_view("{\"in\":\"x.3\"}"));
    std::string out;
    others.answer({body.bytes().data(), body.bytes().size()}, Framing::lines, out);
    CHECK(calls.executor.calls.size() == 3);
  }
  CHECK(calls.executor.calls.size() == 2);
  CHECK(calls.executor.cancelled == 1);
}

TEST_CASE("a call that waits for a place among all that run is begun when there is one") {
  SessionLimits limits;
  limits.concurrency = 1;
  Calls calls(limits);
  run(calls, [](Calls& self) -> Task<void> {
    self.ask("{\"in\":\"x.1\",\"params\":1,\"id\":1}");
    self.ask("{\"in\":\"x.2\",\"params\":2,\"id\":2}");
    co_await settle(self);
    CHECK(self.executor.begun == "1");
    self.executor.finish(0);
    co_await settle(self);
    CHECK(self.executor.begun == "12");
    CHECK(self.placed == 1);
    CHECK(!self.context.places().available());
    self.executor.finish(0);
    CHECK(self.context.places().available());
  });
}

}  // namespace
}  // namespace handoff::test

// SPDX-License-Identifier: MIT
#include "rpc/session_calls.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "unit/rpc/session_calls_fixture.hpp"

namespace handoff::test {
namespace {

TEST_CASE("an instant method is answered at once, and leaves nothing") {
  Calls calls;
  CHECK(calls.ask("{\"in\":\"echo\",\"params\":[1]}") == "{\"out\":\"echo\",\"result\":[1]}\n");
  CHECK(!calls.calls.any());
  CHECK(calls.context.requests() == 1);
}

TEST_CASE("replies without ids keep the order of their requests, errors too") {
  Calls calls;
  run(calls, [](Calls& self) -> Task<void> {
    CHECK(self.call("a").empty());
    CHECK(self.call("b").empty());
    CHECK(self.call("echo").empty());
    CHECK(self.call("none").empty());
    CHECK(self.ask("no JSON").empty());
    self.go = "b";
    co_await settle(self);
    CHECK(self.sent.empty());
    CHECK(self.ended == 1);
    self.go = "ab";
    co_await settle(self);
    CHECK(self.sent.starts_with(kReplyA + kReplyB + "{\"out\":\"echo\",\"result\":null}\n"));
    CHECK(self.sent.find("no such method: none") < self.sent.find("-32700"));
    CHECK(self.sent.find("-32700") != std::string::npos);
  });
}

TEST_CASE("a reply with an id may overtake") {
  Calls calls;
  run(calls, [](Calls& self) -> Task<void> {
    self.call("a");
    CHECK(self.ask("{\"in\":\"echo\",\"id\":5}") ==
          "{\"out\":\"echo\",\"result\":null,\"id\":5}\n");
    self.ask("{\"in\":\"b\",\"id\":6}");
    self.go = "b";
    co_await settle(self);
    CHECK(self.sent == "{\"out\":\"b\",\"result\":1,\"id\":6}\n");
  });
}

TEST_CASE("a notification is executed and not answered") {
  Calls calls;
  run(calls, [](Calls& self) -> Task<void> {
    CHECK(self.ask("{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}").empty());
    CHECK(self.ask("{\"jsonrpc\":\"2.0\",\"method\":\"none\"}").empty());
    self.ask("{\"jsonrpc\":\"2.0\",\"method\":\"a\"}");
    self.go = "a";
    co_await settle(self);
    CHECK(self.begun == "a");
    CHECK(self.sent.empty());
    CHECK(self.ended == 1);
  });
}

TEST_CASE("the replies of a batch go back together, when the last is there") {
  Calls calls;
  run(calls, [](Calls& self) -> Task<void> {
    CHECK(self.ask("[{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":1},"
                   "{\"jsonrpc\":\"2.0\",\"method\":\"none\",\"id\":2},"
                   "{\"jsonrpc\":\"2.0\",\"method\":\"b\",\"id\":3},"
                   "{\"jsonrpc\":\"2.0\",\"method\":\"a\"}]")
              .empty());
    self.go = "b";
    co_await settle(self);
    CHECK(self.sent.empty());
    self.go = "ab";
    co_await settle(self);
    CHECK(self.sent.starts_with("[{\"jsonrpc\":\"2.0\",\"error\":"));
    CHECK(self.sent.find("\"id\":3") < self.sent.find("\"id\":1}"));
    CHECK(self.sent.ends_with("]\n"));
    self.sent.clear();
    CHECK(self.ask("[{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}]").empty());
    CHECK(self.ask("[{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1}]") ==
          "[{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":1}]\n");
  });
}

TEST_CASE("no more requests are read while a connection has as many calls as it may") {
  SessionLimits limits;
  limits.max_calls = 2;
  Calls calls(limits);
  run(calls, [](Calls& self) -> Task<void> {
    self.call("a");
    CHECK(self.calls.room() == SessionCalls::Room::enough);
    self.call("b");
    CHECK(self.calls.room() == SessionCalls::Room::calls);
    self.go = "b";
    co_await settle(self);
    // The reply to the second waits for the first, and counts like a call.
    CHECK(self.call("echo").empty());
    CHECK(self.calls.room() == SessionCalls::Room::calls);
    self.go = "ab";
    co_await settle(self);
    CHECK(self.calls.room() == SessionCalls::Room::enough);
  });
}

TEST_CASE("a server that does one thing at a time has instant methods wait in line") {
  SessionLimits limits;
  limits.synchronous = true;
  limits.concurrency = 1;
  Calls calls(limits);
  run(calls, [](Calls& self) -> Task<void> {
    self.ask("{\"in\":\"a\",\"id\":1}");
    CHECK(self.ask("{\"in\":\"echo\",\"id\":2}").empty());
    self.go = "a";
    co_await settle(self);
    CHECK(self.sent ==
          "{\"out\":\"a\",\"result\":1,\"id\":1}\n{\"out\":\"echo\",\"result\":null,\"id\":2}\n");
  });
}

TEST_CASE("a call that has to wait for a place is told when too many wait, or its time is over") {
  SessionLimits limits;
  limits.concurrency = 1;
  std::string_view expected;
  SUBCASE("too many wait") {
    limits.max_waiting = 0;
    expected = "busy: too many calls wait already";
  }
  SUBCASE("its time is over") {
    limits.call_timeout = std::chrono::milliseconds(1);
    expected = "the call did not begin in time";
  }
  Calls calls(limits);
  run(calls, [&](Calls& self) -> Task<void> {
    self.ask("{\"in\":\"kept\",\"id\":1}");
    self.ask("{\"in\":\"b\",\"id\":2}");
    while (self.sent.empty()) { co_await self.reactor.yield(); }
    CHECK(self.sent.find(expected) != std::string::npos);
    CHECK(self.begun == "kept");
    CHECK(self.placed == 1);
  });
}

TEST_CASE("with a queue nothing is read while a call waits for a place in it") {
  SessionLimits limits;
  limits.concurrency = 1;
  limits.reads_on_when_full = false;
  Calls calls(limits);
  run(calls, [](Calls& self) -> Task<void> {
    self.call("a");
    CHECK(self.calls.room() == SessionCalls::Room::enough);
    self.call("b");
    CHECK(self.calls.room() == SessionCalls::Room::calls);
    self.go = "a";
    co_await settle(self);
    CHECK(self.placed == 1);
    CHECK(self.calls.room() == SessionCalls::Room::enough);
    CHECK(self.begun == "ab");
  });
}

TEST_CASE("the calls of a client that has left end, but for those that go on without one") {
  Calls calls;
  run(calls, [](Calls& self) -> Task<void> {
    self.ask("{\"in\":\"a\",\"id\":1}");
    self.ask("{\"in\":\"kept\",\"id\":2}");
    self.ask("{\"jsonrpc\":\"2.0\",\"method\":\"b\"}");
    co_await settle(self);
    self.calls.end_for_no_client();
    co_await settle(self);
    CHECK(self.ended == 1);
    CHECK(self.calls.any_runs());
    self.go = "kept";
    co_await settle(self);
    CHECK(self.ended == 2);
    self.go = "kept b";
    co_await settle(self);
    CHECK(self.ended == 3);
  });
}

}  // namespace
}  // namespace handoff::test

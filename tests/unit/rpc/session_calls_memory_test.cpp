// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "unit/rpc/session_calls_fixture.hpp"

namespace handoff::test {
namespace {

/// A budget that one reply may use up.
SessionLimits small_limits() {
  SessionLimits limits;
  limits.max_frame = 32 << 10;
  limits.memory = std::make_shared<MemoryBudget>(64 << 10);
  return limits;
}

TEST_CASE("calls are held back while the replies to come may be too many") {
  Calls calls(small_limits());
  run(calls, [](Calls& self) -> Task<void> {
    for (int i = 0; i < 40; ++i) { self.call("a"); }
    co_await settle(self);
    const std::size_t first = self.begun.size();
    CHECK(first > 1);
    CHECK(first <= ReplyEstimate::kFirstCalls);
    CHECK(self.calls.are_held_back());
    SUBCASE("which take long: others are started, and fewer bytes expected") {
      for (int i = 0; i < 3; ++i) { self.calls.take_long(); }
      co_await settle(self);
      CHECK(self.begun.size() > first);
    }
    SUBCASE("and start when these have ended") {
      self.go = "a";
      co_await settle(self);
      CHECK(self.begun.size() == 40);
    }
    SUBCASE("a connection that drains holds no call back") {
      self.now.phase = SessionPhase::draining;
      self.calls.start_waiting();
      CHECK(!self.calls.are_held_back());
      co_await settle(self);
      CHECK(self.begun.size() == 40);
    }
    SUBCASE("those that wait are forgotten when the connection fails") {
      self.now.phase = SessionPhase::closed;
      self.calls.drop_waiting();
      CHECK(self.context.active_calls() == first);
      self.go = "a";
      co_await settle(self);
      CHECK(self.begun.size() == first);
      CHECK(self.sent.empty());
    }
  });
}

TEST_CASE("a connection that holds too much gets on with one call, if its client reads") {
  Calls calls(small_limits());
  calls.now.held = 64 << 10;
  run(calls, [](Calls& self) -> Task<void> {
    self.call("a");
    self.call("a");
    co_await settle(self);
    CHECK(self.begun == "a");
    self.go = "a";
    self.now.awaits_client = true;
    co_await settle(self);
    CHECK(self.begun == "a");
    self.now.awaits_client = false;
    self.calls.start_waiting();
    co_await settle(self);
    CHECK(self.begun == "aa");
  });
}

TEST_CASE("a connection waits while the process holds too much, and is refused if many wait") {
  SessionLimits limits = small_limits();
  limits.max_waiting = 1;
  Calls calls(limits);
  MemoryBudget::Share others(*limits.memory);
  others.set(64 << 10);
  MemoryBudget::Share exempt(*limits.memory);
  REQUIRE(exempt.may_start_call());  // the one that goes on without room
  exempt.set(1);
  CHECK(calls.calls.room() == SessionCalls::Room::memory);
  calls.context.memory_wait_begins();
  CHECK(calls.calls.room() == SessionCalls::Room::none);
  std::string out;
  ReceiveBuffer padded(100);
  padded.append(std::string_view("{\"in\":\"echo\",\"id\":5}"));
  calls.calls.answer_not_run({padded.bytes().data(), padded.bytes().size()}, Framing::lines,
                             SessionCalls::NotRun::busy, out);
  CHECK(out.find("-32003") != std::string::npos);
  CHECK(out.ends_with("\"id\":5}\n"));
  calls.now.held = 1;  // the start of a request
  CHECK(calls.calls.room() == SessionCalls::Room::memory);
  others.set(0);
  exempt.set(0);
  CHECK(calls.calls.room() == SessionCalls::Room::enough);
}

TEST_CASE("the reply of a call that ends on a closed connection goes nowhere") {
  Calls calls;
  run(calls, [](Calls& self) -> Task<void> {
    self.call("a");
    co_await settle(self);
    self.now.phase = SessionPhase::closed;
    self.go = "a";
    co_await settle(self);
    CHECK(self.ended == 1);
    CHECK(self.sent.empty());
  });
}

}  // namespace
}  // namespace handoff::test

// SPDX-License-Identifier: MIT
#include "rpc/session_calls.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/condition.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// Keeps the calls that it has begun, and finishes them when a test says so.
struct KeepingExecutor final : CallExecutor {
  TimePoint begin(PendingCall& call) override {
    if (fails) { throw std::runtime_error("not begun"); }
    begun += call.view().params;
    if (finishes_at_once) {
      call.finish(ResultView::error(ErrorCode::busy, "at once"));
    } else {
      calls.push_back(&call);
    }
    return times_out;
  }
  void time_out(PendingCall& call) override {
    std::erase(calls, &call);
    call.finish(ResultView::error(ErrorCode::timed_out, "late"));
  }
  void cancel(PendingCall& call) override {
    std::erase(calls, &call);
    ++cancelled;
  }
  void finish(std::size_t which) {
    PendingCall* call = calls[which];
    std::erase(calls, call);
    call->finish(ResultView::success("7"));
  }

  std::vector<PendingCall*> calls;
  std::string begun;
  TimePoint times_out = kNever;
  bool finishes_at_once = false;
  bool fails = false;
  int cancelled = 0;
};

/// Calls without a connection. The methods "a", "b" and "kept" wait until they are let go by name,
/// "echo" is instant, and those that begin with "x." are begun by an executor.
struct Calls final : SessionCalls::Owner {
  explicit Calls(const SessionLimits& limits = {})
      : changed(reactor),
        context(reactor, methods(), limits),
        calls(context, *this, Dialect::article) {}

  std::shared_ptr<const MethodTable> methods() {
    auto table = std::make_shared<MethodTable>();
    const auto wait = [this](Call call) { return wait_for_go(std::move(call)); };
    table->add("a", wait);
    table->add("b", wait);
    table->add("kept", wait, Supervision::handler);
    table->add_instant("echo", [](const Request& request) { return request.params; });
    table->add_executor("x.*", executor);
    return table;
  }
  Task<Result> wait_for_go(Call call) {
    begun += call.method;
    co_await changed.wait_until([&] { return go.find(call.method) != std::string::npos; });
    co_return Result::success("1");
  }

  SessionCalls::Surroundings surroundings() const override { return now; }
  std::string_view peer() override { return "client"; }
  void replies_ready(std::string_view frames) override { sent.append(frames); }
  void call_ended() override { ++ended; }
  void call_has_place() override { ++placed; }
  bool has_turn() const override { return its_turn; }
  void turn_is_over() override { ++turns; }
  void call_failed(std::string_view why) override { failure = why; }

  /// What is answered at once.
  std::string ask(std::string_view body) {
    ReceiveBuffer padded(body.size() + ReceiveBuffer::kPadding);
    padded.append(body);
    std::string out;
    calls.answer({padded.bytes().data(), body.size()}, Framing::lines, out);
    calls.count_held(now.held);
    return out;
  }
  std::string call(std::string_view method) {
    return ask("{\"in\":\"" + std::string(method) + "\"}");
  }

  Reactor reactor;
  Condition changed;
  ServerContext context;
  SessionCalls::Surroundings now{Framing::lines, SessionPhase::open, 0, false, false};
  std::string go;
  std::string begun;
  std::string sent;
  std::string failure;
  int ended = 0;
  int placed = 0;
  bool its_turn = true;
  int turns = 0;
  KeepingExecutor executor;
  SessionCalls calls;  // the first to be destroyed
};

/// Runs the steps of a test on the reactor.
template <typename Steps>
void run(Calls& calls, Steps steps) {
  calls.reactor.run([](Calls& self, Steps& of) -> Task<void> {
    co_await of(self);
    // What still runs uses the calls.
    self.go = "a b kept";
    self.now.client_has_left = true;
    while (self.calls.any()) {
      while (!self.executor.calls.empty()) { self.executor.finish(0); }
      self.changed.notify_all();
      co_await self.reactor.yield();
    }
    CHECK(self.context.active_calls() == 0);
    CHECK(self.context.limits().memory->held() == self.now.held);
  }(calls, steps));
}

Task<void> settle(Calls& calls) {
  calls.changed.notify_all();
  for (int i = 0; i < 10; ++i) { co_await calls.reactor.yield(); }
}

const std::string kReplyA = "{\"out\":\"a\",\"result\":1}\n";
const std::string kReplyB = "{\"out\":\"b\",\"result\":1}\n";

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
  calls.calls.answer_busy({padded.bytes().data(), padded.bytes().size()}, Framing::lines, out);
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
}  // namespace handoff

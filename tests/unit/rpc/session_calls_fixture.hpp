// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/condition.hpp>

#include "rpc/session_calls.hpp"
#include "unit/support.hpp"

/// What the tests of the calls of a session share.
namespace handoff::test {

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
  void replies_ready(std::string& frames) override { sent.append(frames); }
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

inline Task<void> settle(Calls& calls) {
  calls.changed.notify_all();
  for (int i = 0; i < 10; ++i) { co_await calls.reactor.yield(); }
}

inline const std::string kReplyA = "{\"out\":\"a\",\"result\":1}\n";
inline const std::string kReplyB = "{\"out\":\"b\",\"result\":1}\n";

}  // namespace handoff::test

// SPDX-License-Identifier: MIT
#include "master/remote_queue.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

/// The queue, on the main thread.
struct MainQueue final : CallExecutor {
  TimePoint begin(PendingCall& call) override {
    calls.push_back(&call);
    if (is_full) { finish(ResultView::error(ErrorCode::busy, "full")); }
    return kNever;
  }
  void time_out(PendingCall&) override { FAIL("the main thread times nothing out"); }
  void cancel(PendingCall& call) override {
    std::erase(calls, &call);
    ++cancelled;
  }
  void finish(const ResultView& result) {
    PendingCall* first = calls.front();
    calls.erase(calls.begin());
    first->finish(result);
  }

  std::vector<PendingCall*> calls;
  bool is_full = false;
  int cancelled = 0;
};

/// A call of the I/O thread, whose texts are gone when it has ended.
struct LocalCall final : PendingCall {
  explicit LocalCall(std::string its_method) : method(std::move(its_method)) {
    set_view({method, "[1]", "5", "client", kNever});
  }
  void finish(const ResultView& given) override {
    result = std::string(given.is_error() ? given.message : given.json);
    method.assign(method.size(), 'x');
  }
  std::string method;
  std::string result = "none";
};

/// Both threads, in the hands of the test: what one has for the other waits until it is asked to.
struct Threads {
  Threads()
      : home(reactor),
        remote(
            main, home, [this](std::function<void()> what) { posted.push_back(std::move(what)); },
            [](TimePoint deadline) { return deadline; }) {}
  Task<void> run_main() {
    for (int i = 0; i < 5; ++i) { co_await reactor.yield(); }
  }
  void run_io() {
    for (const auto& what : std::exchange(posted, {})) { what(); }
  }

  Reactor reactor;
  MainQueue main;
  Mailbox home;
  std::vector<std::function<void()>> posted;
  RemoteQueue remote;
};

TEST_CASE("a call of another thread is queued on the main one, and finished on its own") {
  Threads both;
  both.reactor.run([](Threads& threads) -> Task<void> {
    LocalCall call("one");
    threads.remote.begin(call);
    CHECK(threads.main.calls.empty());
    co_await threads.run_main();
    REQUIRE(threads.main.calls.size() == 1);
    const CallView& view = threads.main.calls[0]->view();
    CHECK(view.method == "one");
    CHECK(view.params == "[1]");
    CHECK(view.id == "5");
    CHECK(view.peer == "client");
    threads.main.finish(ResultView::success("7"));
    CHECK(call.result == "none");
    threads.run_io();
    CHECK(call.result == "7");
  }(both));
}

TEST_CASE("calls that come together cost one wake-up each way") {
  Threads both;
  both.reactor.run([](Threads& threads) -> Task<void> {
    LocalCall one("one");
    LocalCall two("two");
    threads.remote.begin(one);
    threads.remote.begin(two);
    threads.main.is_full = true;
    co_await threads.run_main();
    CHECK(threads.posted.size() == 1);
    threads.run_io();
    CHECK(one.result == "full");
    CHECK(two.result == "full");
  }(both));
}

TEST_CASE("a call that times out is taken out of the queue, and its text lives until then") {
  Threads both;
  both.reactor.run([](Threads& threads) -> Task<void> {
    std::optional<LocalCall> call("one");
    threads.remote.begin(*call);
    co_await threads.run_main();
    threads.remote.time_out(*call);
    CHECK(call->result == "the call was not answered in time");
    call.reset();
    CHECK(threads.main.calls.front()->view().method == "one");
    co_await threads.run_main();
    CHECK(threads.main.cancelled == 1);
    threads.run_io();
  }(both));
}

TEST_CASE("a call that is cancelled before the main thread has heard of it leaves the queue too") {
  Threads both;
  both.reactor.run([](Threads& threads) -> Task<void> {
    LocalCall call("one");
    threads.remote.begin(call);
    threads.remote.cancel(call);
    co_await threads.run_main();
    CHECK(threads.main.calls.empty());
    CHECK(threads.main.cancelled == 1);
    threads.run_io();
    CHECK(call.result == "none");
  }(both));
}

TEST_CASE("the result of a call that was cancelled meanwhile goes nowhere") {
  Threads both;
  both.reactor.run([](Threads& threads) -> Task<void> {
    LocalCall call("one");
    threads.remote.begin(call);
    co_await threads.run_main();
    threads.main.finish(ResultView::success("7"));
    threads.remote.cancel(call);
    threads.run_io();
    co_await threads.run_main();
    CHECK(call.result == "none");
    CHECK(threads.main.cancelled == 0);
    LocalCall next("two");
    threads.remote.begin(next);
    co_await threads.run_main();
    threads.main.finish(ResultView::success("8"));
    threads.run_io();
    CHECK(next.result == "8");
  }(both));
}

TEST_CASE("what is queued when the thread has ended leaves the queue") {
  MainQueue main;
  LocalCall call("one");
  {
    Reactor reactor;
    Mailbox home(reactor);
    RemoteQueue remote(
        main, home, [](const std::function<void()>&) {},
        [](TimePoint deadline) { return deadline; });
    remote.begin(call);
    reactor.run([](Reactor& its) -> Task<void> {
      for (int i = 0; i < 5; ++i) { co_await its.yield(); }
    }(reactor));
    CHECK(main.calls.size() == 1);
  }
  CHECK(main.calls.empty());
}

}  // namespace
}  // namespace handoff

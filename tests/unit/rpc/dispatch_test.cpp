// SPDX-License-Identifier: MIT
#include "rpc/dispatch.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "rpc/pending_call.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

Method native(Handler handler, Supervision supervision = Supervision::server) {
  return {"\"m\"", {}, std::move(handler), supervision, nullptr};
}

Method instant(InstantHandler handler) {
  return {"\"m\"", std::move(handler), {}, Supervision::server, nullptr};
}

Method giving(Result result, Supervision supervision = Supervision::server) {
  return native([result = std::move(result)](const Call&) -> Task<Result> { co_return result; },
                supervision);
}

Result result_of(const Method& method, TimePoint deadline = kNever) {
  Reactor reactor;
  Call call;
  call.params = "[1]";
  call.deadline = deadline;
  return reactor.run_for_result(run_method(reactor, method, std::move(call)));
}

TEST_CASE("a result and an error's data are given on if they are JSON") {
  const Result result = result_of(giving(Result::success("{\"a\":[1,2]}")));
  CHECK(result.json == "{\"a\":[1,2]}");
  CHECK(!result.is_error());
  const Result error = result_of(giving(Result::error(ErrorCode::busy, "full", "{\"a\":1}")));
  CHECK(error.code == ErrorCode::busy);
  CHECK(error.message == "full");
  CHECK(error.json == "{\"a\":1}");
  CHECK(result_of(giving(Result::error(ErrorCode::busy, "full"))).code == ErrorCode::busy);
}

TEST_CASE("a result or data that is no JSON becomes an error that says what is wrong") {
  const std::string too_deep = std::string(64, '[') + std::string(64, ']');
  for (const std::string& text :
       {std::string(), std::string("1}{"), std::string("1,\"id\":2"), std::string("nul"),
        std::string("\"\xff\""), std::string("\"a\nb\""), std::string("1\n2"), too_deep}) {
    CAPTURE(text);
    const Result result = result_of(giving(Result::success(text)));
    CHECK(result.code == ErrorCode::handler_failed);
    CHECK(result.message.starts_with("the method's result is not JSON: "));
    CHECK(result.json.empty());
    if (text.empty()) { continue; }
    const Result data = result_of(giving(Result::error(ErrorCode::busy, "full", text)));
    CHECK(data.code == ErrorCode::handler_failed);
    CHECK(data.message.starts_with("the method's error data is not JSON: "));
    CHECK(data.json.empty());
  }
}

TEST_CASE("what an instant handler gives is checked too, and its request's params are given on") {
  const auto of = [](InstantHandler handler) { return result_of(instant(std::move(handler))); };
  CHECK(of([](const Request& request) { return request.params; }).json == "[1]");
  CHECK(of([](const Request&) { return std::string_view("{}"); }).json == "{}");
  CHECK(of([](const Request&) { return std::string_view("1}"); }).code ==
        ErrorCode::handler_failed);
  // A part of the params is not all of them.
  CHECK(of([](const Request& request) { return request.params.substr(0, 2); }).code ==
        ErrorCode::handler_failed);
}

TEST_CASE("whatever a handler throws is an internal error") {
  struct NoException {};
  const auto check = [](const Method& method, std::string_view message) {
    const Result result = result_of(method);
    CHECK(result.code == ErrorCode::internal_error);
    CHECK(result.message == message);
  };
  const auto fails = [](const Call&) -> Task<Result> {
    throw std::runtime_error("failed");
    co_return Result();
  };
  check(native(fails), "failed");
  check(native(fails, Supervision::handler), "failed");
  check(native([](const Call&) -> Task<Result> { throw std::runtime_error("no coroutine"); }),
        "no coroutine");
  check(native([](const Call&) -> Task<Result> {
          throw NoException();
          co_return Result();
        }),
        "the method threw no std::exception");
  check(instant([](const Request&) -> std::string_view { throw std::runtime_error("at once"); }),
        "at once");
  check(instant([](const Request&) -> std::string_view { throw NoException(); }),
        "the method threw no std::exception");
}

TEST_CASE("a handler is ended at its deadline, unless it keeps it itself") {
  for (const Supervision supervision : {Supervision::server, Supervision::handler}) {
    Reactor reactor;
    const TimePoint deadline = reactor.now() + std::chrono::milliseconds(1);
    const Duration late = supervision == Supervision::server ? Duration(std::chrono::hours(1))
                                                             : std::chrono::milliseconds(1);
    const Method method = native(
        [&reactor, late](Call call) -> Task<Result> {
          co_await reactor.sleep_until(call.deadline + late);
          co_return Result::success("1");
        },
        supervision);
    Call call;
    call.deadline = deadline;
    const Result result = reactor.run_for_result(run_method(reactor, method, std::move(call)));
    if (supervision == Supervision::server) {
      CHECK(result.code == ErrorCode::timed_out);
      CHECK(result.message == "the method did not answer in time");
    } else {
      CHECK(result.json == "1");
    }
  }
}

/// Keeps its calls.
struct KeepingExecutor final : CallExecutor {
  TimePoint begin(PendingCall& call) override {
    if (fails) { throw std::runtime_error("not begun"); }
    begun += call.view().method;
    calls.push_back(&call);
    if (call.view().params == "now") { finish(); }
    return times_out;
  }
  void time_out(PendingCall&) override { finish(ResultView::error(ErrorCode::timed_out, "late")); }
  void cancel(PendingCall&) override {
    ++cancelled;
    calls.clear();
  }
  void finish(const ResultView& result = ResultView::success("7")) {
    PendingCall* first = calls.front();
    calls.erase(calls.begin());
    first->finish(result);
  }

  std::vector<PendingCall*> calls;
  TimePoint times_out = kNever;
  std::string begun;
  bool fails = false;
  int cancelled = 0;
};

struct ExecutorCalls {
  ExecutorCalls() { methods.add_executor("any.*", executor); }
  Task<Result> call(std::string params = "1") {
    Call what;
    what.method = "any.one";
    what.params = std::move(params);
    return run_call(reactor, methods, std::move(what));
  }

  Reactor reactor;
  KeepingExecutor executor;
  MethodTable methods;
};

TEST_CASE("a coroutine waits for a call that an executor finishes, at once or later") {
  ExecutorCalls calls;
  CHECK(calls.reactor.run_for_result(calls.call("now")).json == "7");
  calls.reactor.run([](ExecutorCalls& all) -> Task<void> {
    all.reactor.spawn([](ExecutorCalls& its) -> Task<void> {
      while (its.executor.calls.empty()) { co_await its.reactor.yield(); }
      its.executor.finish();
    }(all));
    const Result result = co_await all.call();
    CHECK(result.json == "7");
  }(calls));
  CHECK(calls.executor.begun == "any.oneany.one");
  CHECK(calls.executor.cancelled == 0);
}

TEST_CASE("a call that an executor does not finish times out when the executor has said") {
  ExecutorCalls calls;
  calls.executor.times_out = Clock::now() + std::chrono::milliseconds(1);
  CHECK(calls.reactor.run_for_result(calls.call()).message == "late");
  CHECK(Clock::now() >= calls.executor.times_out);
}

TEST_CASE("an executor that throws has not begun the call") {
  ExecutorCalls calls;
  calls.executor.fails = true;
  const Result result = calls.reactor.run_for_result(calls.call());
  CHECK(result.code == ErrorCode::internal_error);
  CHECK(result.message == "not begun");
  CHECK(calls.executor.cancelled == 0);
}

TEST_CASE("an executor's call is cancelled when the coroutine that waits for it is destroyed") {
  ExecutorCalls calls;
  calls.reactor.run([](ExecutorCalls& all) -> Task<void> {
    all.reactor.spawn([](ExecutorCalls& its) -> Task<void> { co_await its.call(); }(all));
    while (all.executor.calls.empty()) { co_await all.reactor.yield(); }
  }(calls));
  CHECK(calls.executor.cancelled == 1);
}

/// How a table with a method of each kind answers a call of `name`.
struct Table {
  Table() {
    methods.add_instant("now", [](const Request& request) { return request.params; });
    methods.add_instant("bad", [](const Request&) { return std::string_view("1}"); });
    methods.add_instant("any.*", [](const Request& request) { return request.params; });
    methods.add("later", [](const Call&) -> Task<Result> { co_return Result::success("1"); });
  }
  Dispatched answer(std::string_view name, Instant instant = Instant::answers_now) {
    Request request;
    request.method = name;
    return dispatch(methods.find(name), request, instant);
  }
  MethodTable methods;
};

TEST_CASE("an instant method answers at once, unless other calls are before it") {
  Table table;
  const Dispatched answer = table.answer("now");
  REQUIRE(std::holds_alternative<InstantReply>(answer));
  CHECK(std::get<InstantReply>(answer).json == "null");
  CHECK(std::get<InstantReply>(answer).quoted_name == "\"now\"");
  const Dispatched waits = table.answer("now", Instant::waits_in_line);
  REQUIRE(std::holds_alternative<StartCall>(waits));
  CHECK(std::get<StartCall>(waits).method == table.methods.find("now"));
}

TEST_CASE("a method that takes time is started as a call") {
  Table table;
  const Dispatched answer = table.answer("later");
  REQUIRE(std::holds_alternative<StartCall>(answer));
  CHECK(std::get<StartCall>(answer).method == table.methods.find("later"));
}

TEST_CASE("an instant method of a pattern is started as a call: its reply needs the call's name") {
  Table table;
  CHECK(std::holds_alternative<StartCall>(table.answer("any.thing")));
}

TEST_CASE("what no method can answer is an error at once") {
  Table table;
  const Dispatched missing = table.answer("other");
  REQUIRE(std::holds_alternative<Result>(missing));
  CHECK(std::get<Result>(missing).code == ErrorCode::method_not_found);
  CHECK(std::get<Result>(missing).message == "no such method: other");
  const Dispatched bad = table.answer("bad");
  REQUIRE(std::holds_alternative<Result>(bad));
  CHECK(std::get<Result>(bad).code == ErrorCode::handler_failed);
}

TEST_CASE("a call finds its method by name") {
  Table table;
  Reactor reactor;
  const auto run = [&](std::string name) {
    Call call;
    call.method = std::move(name);
    call.params = "[2]";
    return reactor.run_for_result(run_call(reactor, table.methods, std::move(call)));
  };
  CHECK(run("later").json == "1");
  CHECK(run("any.thing").json == "[2]");
  CHECK(run("other").message == "no such method: other");
}

TEST_CASE("a reply over the limit becomes an error, and so does an error over the limit") {
  constexpr std::size_t kLimit = 200;
  const std::string json = '"' + std::string(kLimit, 'x') + '"';
  const std::string expected =
      "before{\"out\":\"error\",\"result\":{\"code\":-32001,\"message\":\"the reply exceeds the "
      "limit "
      "of 200 bytes\"},\"id\":5}";
  const ReplyTo to{Dialect::article, "\"m\"", "5"};
  for (const Result& result : {Result::success(json), Result::error(ErrorCode::busy, json),
                               Result::error(ErrorCode::busy, "full", json)}) {
    std::string out = "before";
    append_result(out, to, result, kLimit);
    CHECK(out == expected);
  }
  std::string out = "before";
  append_result(out, to, json, kLimit);
  CHECK(out == expected);
  out.clear();
  append_result(out, to, "1", kLimit);
  CHECK(out == "{\"out\":\"m\",\"result\":1,\"id\":5}");
}

}  // namespace
}  // namespace handoff

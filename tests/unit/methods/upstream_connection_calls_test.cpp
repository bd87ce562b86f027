// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "methods/upstream_connection.hpp"
#include "unit/methods/upstream_fixture.hpp"

namespace handoff::test {
namespace {

using Phase = UpstreamPhase;

TEST_CASE("calls that wait for the connection go out in the order in which they were begun") {
  run([](UpstreamFixture& f) -> Task<void> {
    const RunningCall first(f);
    const RunningCall second(f);
    const RunningCall third(f);
    f.let_connect();
    const std::string requests = co_await input_of(f.reactor, f.server);
    CHECK(requests.find("\"id\":1}") < requests.find("\"id\":2}"));
    CHECK(requests.find("\"id\":2}") < requests.find("\"id\":3}"));
    CHECK(requests.ends_with("\"id\":3}"));
    for (const std::string_view id : {"3", "1", "2"}) { f.server.reply(id, id); }
    co_await until_over(f, first);
    co_await until_over(f, second);
    co_await until_over(f, third);
    CHECK(first.result->json == "1");
    CHECK(second.result->json == "2");
    CHECK(third.result->json == "3");
  });
}

TEST_CASE("the reply to a call that was cancelled is dropped, and is none to the next call") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    co_await until_phase(f, Phase::open);
    { const RunningCall cancelled(f); }
    CHECK(f.connection().calls() == 0);
    const RunningCall next(f);
    const std::string requests = co_await input_of(f.reactor, f.server);
    CHECK(requests.ends_with("\"id\":9}"));  // of eight slots, the first again
    f.server.reply("\"late\"", "1");
    f.server.reply("2", "9");
    co_await until_over(f, next);
    CHECK(next.result->json == "2");
    CHECK(f.phase() == Phase::open);
  });
}

TEST_CASE("a call whose deadline has passed is not sent") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    co_await until_phase(f, Phase::open);
    const RunningCall late(f, f.reactor.now());
    REQUIRE(late.result);
    CHECK(late.result->code == ErrorCode::timed_out);
    const RunningCall call(f);
    const std::string requests = co_await input_of(f.reactor, f.server);
    CHECK(requests.substr(4) == R"({"in":"m","params":1,"id":1})");
    CHECK(f.phase() == Phase::open);
  });
}

/// A call that begins another one when it is finished.
class CallWithSequel final : public PendingCall {
 public:
  std::optional<ErrorCode> code;
  std::optional<RunningCall> sequel;

  explicit CallWithSequel(UpstreamFixture& fixture) : fixture_(fixture) {
    set_view({"m", "1", {}, {}, kNever});
    fixture_.connection().begin(*this, UpstreamAttempt::first);
  }

 private:
  void finish(const ResultView& answer) override {
    code = answer.code;
    if (fixture_.connection().takes_calls()) { sequel.emplace(fixture_); }
  }

  UpstreamFixture& fixture_;
};

TEST_CASE("a call may begin when another one is finished, but on no connection that is closed") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    const CallWithSequel first(f);
    const CallWithSequel second(f);
    (void)co_await input_of(f.reactor, f.server);
    f.server.reply("1", "1");
    while (!first.code) { co_await f.reactor.yield(); }
    REQUIRE(first.sequel);
    (void)co_await input_of(f.reactor, f.server);
    f.server.socket.reset();
    co_await until_over(f, *first.sequel);
    CHECK(first.sequel->result->code == ErrorCode::worker_died);
    CHECK(second.code == ErrorCode::worker_died);
    CHECK(!second.sequel);
    CHECK(f.connection().calls() == 0);
    CHECK(f.log == "cx");
  });
}

TEST_CASE("replies with ids may come in any order, those without come in that of the calls") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall first(f);
    const RunningCall second(f);
    (void)co_await input_of(f.reactor, f.server);
    f.server.reply("\"first\"", "");
    co_await until_over(f, first);
    CHECK(first.result->json == "\"first\"");
    f.server.reply("\"second\"", "2");
    co_await until_over(f, second);
    CHECK(second.result->json == "\"second\"");
    CHECK(f.ids);
  });
}

TEST_CASE("a call on a connection that the server has closed is not sent, and may be made again") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    co_await until_phase(f, Phase::open);
    f.server.socket.reset();
    const RunningCall call(f);
    co_await until_over(f, call);
    CHECK(call.result->code == ErrorCode::worker_died);
    CHECK(f.log == "cnx");
  });
}

TEST_CASE("the error of a server is the call's as it is") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall call(f);
    (void)co_await input_of(f.reactor, f.server);
    f.server.reply_error("no", "1");
    co_await until_over(f, call);
    CHECK(call.result->code == ErrorCode::invalid_request);
    CHECK(call.result->message == "no");
    CHECK(f.phase() == Phase::open);
  });
}

TEST_CASE("what a server that shuts down has not answered is given back, and not failed") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    co_await until_phase(f, Phase::open);
    const RunningCall answered(f);
    const RunningCall unanswered(f);
    co_await input_of(f.reactor, f.server);
    f.server.send(R"({"out":"m","result":5,"id":1,"last":true})");
    co_await until_over(f, unanswered);
    CHECK(answered.result->json == "5");
    CHECK(f.log == "csnx");
    CHECK(f.phase() == Phase::closed);
  });
}

TEST_CASE("a last reply that comes too late for its call is the last all the same") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    co_await until_phase(f, Phase::open);
    auto late = std::make_unique<RunningCall>(f);
    const RunningCall waits(f);
    co_await input_of(f.reactor, f.server);
    late.reset();
    f.server.send(R"({"out":"m","result":5,"id":1,"last":true})");
    co_await until_over(f, waits);
    CHECK(f.log == "csnx");
  });
}

TEST_CASE(
    "a call that a server refuses because it shuts down is given back, and no other is sent") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    co_await until_phase(f, Phase::open);
    const RunningCall runs(f);
    const RunningCall refused(f);
    co_await input_of(f.reactor, f.server);
    f.server.send(R"({"out":"error","result":{"code":-32005,"message":"no"},"id":2})");
    co_await until_over(f, refused);
    CHECK(f.log == "csn");
    CHECK_FALSE(f.connection().takes_calls());
    f.server.reply("1", "1");
    co_await until_over(f, runs);
    CHECK(runs.result->json == "1");
    CHECK(f.phase() == Phase::closed);
  });
}

}  // namespace
}  // namespace handoff::test

// SPDX-License-Identifier: MIT
#include "methods/upstream_connection.hpp"

#include <doctest/doctest.h>

#include <chrono>

#include "unit/methods/upstream_fixture.hpp"

namespace handoff::test {
namespace {

using Phase = UpstreamPhase;

TEST_CASE("a call waits for the connection, and gets its reply") {
  run([](UpstreamFixture& f) -> Task<void> {
    const RunningCall call(f);
    co_await f.reactor.yield();
    CHECK(f.phase() == Phase::connecting);
    CHECK(f.connection().takes_calls());
    CHECK(f.connection().calls() == 1);
    f.let_connect();
    const std::string request = co_await input_of(f.reactor, f.server);
    CHECK(request.substr(4) == R"({"in":"m","params":1,"id":1})");
    CHECK(f.phase() == Phase::open);
    f.server.reply("2", "1");
    co_await until_over(f, call);
    CHECK(call.result->json == "2");
    CHECK(f.phase() == Phase::open);
    CHECK(f.log == "c");
  });
}

TEST_CASE("a connection that can't be made fails the calls that wait for it") {
  run([](UpstreamFixture& f) -> Task<void> {
    const RunningCall call(f);
    co_await f.reactor.yield();
    f.let_connect_fail();
    co_await until_over(f, call);
    CHECK(call.result->code == ErrorCode::unreachable);
    CHECK(call.result->message == "cannot connect to server: refused");
    CHECK(f.phase() == Phase::closed);
    CHECK(f.log == "fux");
  });
}

TEST_CASE("an attempt to connect on which a call has waited in vain gets no more calls") {
  run([](UpstreamFixture& f) -> Task<void> {
    const RunningCall patient(f);
    const RunningCall hasty(f, soon(f));
    co_await until_over(f, hasty);
    CHECK(hasty.result->code == ErrorCode::timed_out);
    CHECK(f.phase() == Phase::connecting_last);
    CHECK(!f.connection().takes_calls());
    CHECK(f.connection().is_connecting());
    // The other call is still answered; then the connection ends.
    f.let_connect();
    (void)co_await input_of(f.reactor, f.server);
    CHECK(f.phase() == Phase::retired);
    f.server.reply("2", "1");
    co_await until_over(f, patient);
    CHECK(patient.result->json == "2");
    CHECK(f.phase() == Phase::closed);
  });
}

TEST_CASE("an attempt to connect is given up with the last call that has waited in vain") {
  run([](UpstreamFixture& f) -> Task<void> {
    const RunningCall call(f, soon(f));
    co_await until_over(f, call);
    CHECK(f.phase() == Phase::closed);
    CHECK(f.log == "qx");
    f.let_connect();
    co_await f.reactor.yield();
    CHECK(f.log == "qx");
  });
}

TEST_CASE("a connection on which a deadline passes in silence is closed with its last call") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall patient(f);
    (void)co_await input_of(f.reactor, f.server);
    const RunningCall hasty(f, soon(f));
    co_await until_over(f, hasty);
    CHECK(f.phase() == Phase::retired);
    CHECK(f.log == "cq");
    f.server.reply("\"late\"", "2");
    f.server.reply("2", "1");
    co_await until_over(f, patient);
    CHECK(patient.result->json == "2");
    CHECK(f.phase() == Phase::closed);
  });
}

TEST_CASE("a connection that is retired closes with its last call, or at once without one") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    {
      const RunningCall call(f);
      (void)co_await input_of(f.reactor, f.server);
      f.connection().retire();
      CHECK(f.phase() == Phase::retired);
    }
    CHECK(f.phase() == Phase::closed);
  });
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    co_await until_phase(f, Phase::open);
    f.connection().retire();
    CHECK(f.phase() == Phase::closed);
  });
}

TEST_CASE("a deadline that passes while replies to others come leaves the connection open") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall first(f);
    const RunningCall slow(f, f.reactor.now() + std::chrono::milliseconds(50));
    (void)co_await input_of(f.reactor, f.server);
    f.server.reply("1", "1");
    co_await until_over(f, first);
    while (!slow.result) {
      f.server.reply("\"for none of its calls\"", "7");
      co_await f.reactor.yield();
    }
    CHECK(slow.result->code == ErrorCode::timed_out);
    CHECK(f.phase() == Phase::open);
  });
}

TEST_CASE("a server that refuses to read on gets no more calls, and its words are told") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    f.ids = true;
    const RunningCall call(f);
    (void)co_await input_of(f.reactor, f.server);
    f.server.reply_error("too long", "");
    co_await until_phase(f, Phase::retired);
    CHECK(!call.result);
    f.server.socket.reset();
    co_await until_over(f, call);
    CHECK(call.result->code == ErrorCode::worker_died);
    CHECK(call.result->message.ends_with(" (it said: too long)"));
    CHECK(f.phase() == Phase::closed);
  });
}

TEST_CASE("a reply without an id that no call waits for ends the connection") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    co_await until_phase(f, Phase::open);
    f.server.reply("1", "");
    co_await until_phase(f, Phase::closed);
    CHECK(f.log == "cx");
  });
}

TEST_CASE("a connection that ends takes the calls with it that it has sent") {
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall call(f);
    (void)co_await input_of(f.reactor, f.server);
    f.server.socket.reset();
    co_await until_over(f, call);
    CHECK(call.result->code == ErrorCode::worker_died);
    CHECK(f.log == "cx");
    CHECK(f.phase() == Phase::closed);
  });
}

TEST_CASE("an abandoned connection ends its calls in each phase, and tells its owner nothing") {
  run([](UpstreamFixture& f) -> Task<void> {
    const RunningCall call(f);
    co_await f.reactor.yield();
    f.connection().abandon();
    co_await until_over(f, call);
    CHECK(call.result->code == ErrorCode::worker_died);
    CHECK(f.log.empty());
    f.let_connect();
    co_await f.reactor.yield();
    CHECK(f.log.empty());
  });
  run([](UpstreamFixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall call(f);
    (void)co_await input_of(f.reactor, f.server);
    f.connection().abandon();
    co_await until_over(f, call);
    CHECK(call.result->message == "shutting down");
    f.connection().abandon();
    CHECK(f.log == "c");
  });
}

}  // namespace
}  // namespace handoff::test

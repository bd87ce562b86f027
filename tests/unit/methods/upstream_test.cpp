// SPDX-License-Identifier: MIT
#include "methods/upstream.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include <handoff/async/timer.hpp>
#include <handoff/os/error.hpp>

#include "rpc/pending_call.hpp"
#include "unit/methods/fake_server.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// An upstream server whose end of each connection the test plays.
class Fixture {
 public:
  explicit Fixture(UpstreamOptions options = {})
      : upstream(
            reactor, "server", [this] { return connect(*this); }, options) {}
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  Reactor reactor;
  std::deque<test::FakeServer> servers;  ///< one for each connection
  bool is_down = false;
  bool closes_at_once = false;
  int attempts = 0;
  Upstream upstream;

 private:
  static Task<std::unique_ptr<ClientConnection>> connect(Fixture& fixture) {
    ++fixture.attempts;
    co_await fixture.reactor.yield();
    if (fixture.is_down) { throw Unreachable("cannot connect to server: refused"); }
    fixture.servers.emplace_back();
    std::unique_ptr<ClientConnection> client =
        test::connect_to_fake(fixture.reactor, fixture.servers.back());
    if (fixture.closes_at_once) { fixture.servers.back().socket.reset(); }
    co_return client;
  }
};

/// A call that is begun at once, and times out as the upstream says.
class RunningCall final : public PendingCall, private Timer {
 public:
  std::optional<Result> result;

  explicit RunningCall(Fixture& fixture, std::string params = "1", TimePoint deadline = kNever)
      : Timer(fixture.reactor), upstream_(fixture.upstream), params_(std::move(params)) {
    set_view({"m", params_, {}, {}, deadline});
    const TimePoint times_out = upstream_.begin(*this);
    if (!result) { set(times_out); }
  }
  ~RunningCall() {
    if (!result) { upstream_.cancel(*this); }
  }

 private:
  void finish(const ResultView& answer) override {
    REQUIRE(!result);
    result = {std::string(answer.json), answer.code, std::string(answer.message)};
    Timer::cancel();
  }
  void on_timer() override { upstream_.time_out(*this); }

  CallExecutor& upstream_;
  std::string params_;
};

Task<void> until_over(Fixture& fixture, const RunningCall& call) {
  while (!call.result) { co_await fixture.reactor.yield(); }
}

/// Waits until so many connections have got something.
Task<void> until_asked(Fixture& fixture, std::size_t servers) {
  while (fixture.servers.size() < servers || !fixture.servers[servers - 1].has_input()) {
    co_await fixture.reactor.yield();
  }
}

TEST_CASE("calls go over one connection until it has its share, and then over another") {
  const test::DescriptorCheck check;
  UpstreamOptions options;
  options.calls_before_next = 2;
  options.max_connections = 2;
  options.max_calls = 3;
  Fixture fixture(options);
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    std::deque<RunningCall> calls;
    for (int i = 0; i < 2; ++i) { calls.emplace_back(f); }
    co_await until_asked(f, 1);
    CHECK(f.attempts == 1);
    for (int i = 0; i < 4; ++i) { calls.emplace_back(f); }
    co_await until_asked(f, 2);
    CHECK(f.attempts == 2);
    // Both have as many as they may have.
    const RunningCall refused(f);
    co_await until_over(f, refused);
    CHECK(refused.result->code == ErrorCode::busy);
    CHECK(refused.result->message == "busy: too many calls wait for server already");
    f.servers.clear();
    for (const RunningCall& call : calls) { co_await until_over(f, call); }
  }(fixture));
}

TEST_CASE("after an attempt to connect has failed, calls fail at once for a while") {
  UpstreamOptions options;
  options.first_pause = options.last_pause = std::chrono::hours(1);
  Fixture fixture(options);
  fixture.is_down = true;
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      const RunningCall call(f);
      co_await until_over(f, call);
      CHECK(call.result->code == ErrorCode::unreachable);
      CHECK(call.result->message == "cannot connect to server: refused");
    }
    CHECK(f.attempts == 1);
  }(fixture));
}

TEST_CASE("after the pause a call tries again, and then all go over that connection") {
  UpstreamOptions options;
  options.first_pause = options.last_pause = std::chrono::milliseconds(1);
  Fixture fixture(options);
  fixture.is_down = true;
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    while (f.attempts < 2) {
      const RunningCall call(f);
      co_await until_over(f, call);
      CHECK(call.result->code == ErrorCode::unreachable);
      co_await f.reactor.yield();
    }
    f.is_down = false;
    std::deque<RunningCall> calls;
    while (f.servers.empty()) {
      calls.emplace_back(f);
      co_await f.reactor.yield();
    }
    const RunningCall last(f, "\"last\"");
    std::string input;
    while (input.find("last") == std::string::npos) {
      input += f.servers[0].read_input();
      co_await f.reactor.yield();
    }
    f.servers.clear();
    co_await until_over(f, last);
    for (const RunningCall& call : calls) { co_await until_over(f, call); }
    CHECK(last.result->code == ErrorCode::worker_died);
    CHECK(f.attempts == 3);
  }(fixture));
}

TEST_CASE("a call of which nothing was sent on a connection that has ended goes over another") {
  Fixture fixture;
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    const RunningCall first(f);
    co_await until_asked(f, 1);
    f.servers[0].reply("1", "1");
    co_await until_over(f, first);
    f.servers[0].socket.reset();
    const RunningCall second(f);
    co_await until_asked(f, 2);
    f.servers[1].reply("2", "1");
    co_await until_over(f, second);
    CHECK(second.result->json == "2");
  }(fixture));
}

TEST_CASE("a call of which nothing was sent on two connections fails") {
  Fixture fixture;
  fixture.closes_at_once = true;
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    const RunningCall call(f);
    co_await until_over(f, call);
    CHECK(call.result->code == ErrorCode::worker_died);
    CHECK(call.result->message == "server has closed the connection");
    CHECK(f.attempts == 2);
  }(fixture));
}

TEST_CASE("a call that times out or is cancelled leaves those on other connections alone") {
  UpstreamOptions options;
  options.calls_before_next = 1;
  Fixture fixture(options);
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    const RunningCall patient(f);
    co_await until_asked(f, 1);
    const RunningCall hasty(f, "2", f.reactor.now() + std::chrono::milliseconds(1));
    std::optional<RunningCall> cancelled;
    cancelled.emplace(f, "3");
    co_await until_asked(f, 3);
    cancelled.reset();
    co_await until_over(f, hasty);
    CHECK(hasty.result->code == ErrorCode::timed_out);
    CHECK(hasty.result->message == "server did not reply in time");
    f.servers[2].reply("3", "1");
    f.servers[0].reply("1", "1");
    co_await until_over(f, patient);
    CHECK(patient.result->json == "1");
  }(fixture));
}

TEST_CASE("a call that may have been run is not made again") {
  Fixture fixture;
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    const RunningCall call(f);
    co_await until_asked(f, 1);
    (void)f.servers[0].read_input();
    f.servers[0].socket.reset();
    co_await until_over(f, call);
    CHECK(call.result->code == ErrorCode::worker_died);
    CHECK(f.attempts == 1);
  }(fixture));
}

TEST_CASE("a request that is too long for the server is refused, and costs no connection") {
  UpstreamOptions options;
  options.max_frame = 100;
  Fixture fixture(options);
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    const RunningCall call(f, "\"" + std::string(100, 'x') + "\"");
    co_await until_over(f, call);
    CHECK(call.result->code == ErrorCode::invalid_request);
    CHECK(call.result->message ==
          "the request exceeds the limit of 100 bytes on its way to server");
    CHECK(f.attempts == 0);
  }(fixture));
}

}  // namespace
}  // namespace handoff

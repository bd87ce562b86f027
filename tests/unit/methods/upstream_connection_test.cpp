// SPDX-License-Identifier: MIT
#include "methods/upstream_connection.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "os/error.hpp"
#include "unit/methods/fake_server.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Phase = UpstreamPhase;
using Sent = UpstreamConnection::Outcome::Sent;

/// A connection whose server, whose owner and whose moment of connecting are the test's.
class Fixture : public UpstreamConnection::Owner {
 public:
  Fixture() : connection_(std::make_shared<UpstreamConnection>(reactor, *this, "server")) {
    connection_->start([this] { return make_client(*this); });
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  ~Fixture() override { connection_->abandon(); }

  UpstreamConnection& connection() { return *connection_; }
  Phase phase() const { return connection_->phase(); }

  void let_connect() { may_connect_.set(); }
  void let_connect_fail() {
    connect_error_ = "cannot connect to server: refused";
    may_connect_.set();
  }

  Reactor reactor;
  test::FakeServer server;
  std::string log;  ///< what the owner was told, a letter each
  bool ids = false;

 private:
  static Task<std::unique_ptr<Client>> make_client(Fixture& fixture) {
    co_await fixture.may_connect_;
    if (fixture.connect_error_) throw Unreachable(*fixture.connect_error_);
    std::unique_ptr<Client> client = test::connect_to_fake(fixture.reactor, fixture.server);
    co_return client;
  }

  void connected() override { log += 'c'; }
  void connect_failed(const std::string&) override { log += 'f'; }
  void closed(const UpstreamConnection&) override { log += 'x'; }
  void id_given_back() override { ids = true; }
  bool gives_ids_back() const override { return ids; }

  Event may_connect_{reactor};
  std::optional<std::string> connect_error_;
  std::shared_ptr<UpstreamConnection> connection_;
};

/// A call on the connection, under way.
struct RunningCall {
  Call call;
  std::optional<UpstreamConnection::Outcome> outcome;

  explicit RunningCall(Fixture& fixture, TimePoint deadline = kNever) {
    call.method = "m";
    call.params = "1";
    call.deadline = deadline;
    fixture.reactor.spawn(run(fixture, *this));
  }
  RunningCall(const RunningCall&) = delete;
  RunningCall& operator=(const RunningCall&) = delete;

  static Task<void> run(Fixture& fixture, RunningCall& self) {
    UpstreamConnection::Outcome outcome = co_await fixture.connection().call(self.call);
    self.outcome = std::move(outcome);
  }
};

TimePoint soon(const Fixture& fixture) {
  return fixture.reactor.now() + std::chrono::milliseconds(1);
}

Task<void> until_over(Fixture& fixture, const RunningCall& call) {
  while (!call.outcome) co_await fixture.reactor.yield();
}

Task<void> until_phase(Fixture& fixture, Phase phase) {
  while (fixture.phase() != phase) co_await fixture.reactor.yield();
}

void run(Task<void> (*story)(Fixture&)) {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.reactor.run(story(fixture));
}

TEST_CASE("a call waits for the connection, and gets its reply") {
  run([](Fixture& f) -> Task<void> {
    const RunningCall call(f);
    co_await f.reactor.yield();
    CHECK(f.phase() == Phase::connecting);
    CHECK(f.connection().takes_calls());
    CHECK(f.connection().calls() == 1);
    f.let_connect();
    const std::string request = co_await test::input_of(f.reactor, f.server);
    CHECK(request.substr(4) == R"({"in":"m","params":1,"id":1})");
    CHECK(f.phase() == Phase::open);
    f.server.reply("2", "1");
    co_await until_over(f, call);
    CHECK(call.outcome->result.json == "2");
    CHECK(f.phase() == Phase::open);
    CHECK(f.log == "c");
  });
}

TEST_CASE("a connection that can't be made fails the calls that wait for it") {
  run([](Fixture& f) -> Task<void> {
    const RunningCall call(f);
    co_await f.reactor.yield();
    f.let_connect_fail();
    co_await until_over(f, call);
    CHECK(call.outcome->result.code == ErrorCode::unreachable);
    CHECK(call.outcome->result.message == "cannot connect to server: refused");
    CHECK(call.outcome->sent == Sent::maybe_all);
    CHECK(f.phase() == Phase::closed);
    CHECK(f.log == "fx");
  });
}

TEST_CASE("an attempt to connect on which a call has waited in vain gets no more calls") {
  run([](Fixture& f) -> Task<void> {
    const RunningCall patient(f);
    const RunningCall hasty(f, soon(f));
    co_await until_over(f, hasty);
    CHECK(hasty.outcome->result.code == ErrorCode::timed_out);
    CHECK(f.phase() == Phase::connecting_last);
    CHECK(!f.connection().takes_calls());
    CHECK(f.connection().is_connecting());
    // The other call is still answered; then the connection ends.
    f.let_connect();
    (void)co_await test::input_of(f.reactor, f.server);
    CHECK(f.phase() == Phase::retired);
    f.server.reply("2", "1");
    co_await until_over(f, patient);
    CHECK(patient.outcome->result.json == "2");
    CHECK(f.phase() == Phase::closed);
  });
}

TEST_CASE("an attempt to connect is given up with the last call that has waited in vain") {
  run([](Fixture& f) -> Task<void> {
    const RunningCall call(f, soon(f));
    co_await until_over(f, call);
    CHECK(f.phase() == Phase::closed);
    CHECK(f.log == "x");
    f.let_connect();
    co_await f.reactor.yield();
    CHECK(f.log == "x");
  });
}

TEST_CASE("a connection on which a deadline passes in silence is closed with its last call") {
  run([](Fixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall patient(f);
    (void)co_await test::input_of(f.reactor, f.server);
    const RunningCall hasty(f, soon(f));
    co_await until_over(f, hasty);
    CHECK(f.phase() == Phase::retired);
    f.server.reply("\"late\"", "2");
    f.server.reply("2", "1");
    co_await until_over(f, patient);
    CHECK(patient.outcome->result.json == "2");
    CHECK(f.phase() == Phase::closed);
  });
}

TEST_CASE("a deadline that passes while replies to others come leaves the connection open") {
  run([](Fixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall first(f);
    const RunningCall slow(f, f.reactor.now() + std::chrono::milliseconds(50));
    (void)co_await test::input_of(f.reactor, f.server);
    f.server.reply("1", "1");
    co_await until_over(f, first);
    while (!slow.outcome) {
      f.server.reply("\"for none of its calls\"", "7");
      co_await f.reactor.yield();
    }
    CHECK(slow.outcome->result.code == ErrorCode::timed_out);
    CHECK(f.phase() == Phase::open);
  });
}

TEST_CASE("replies with ids may come in any order, those without come in that of the calls") {
  run([](Fixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall first(f);
    const RunningCall second(f);
    (void)co_await test::input_of(f.reactor, f.server);
    f.server.reply("\"first\"", "");
    co_await until_over(f, first);
    CHECK(first.outcome->result.json == "\"first\"");
    f.server.reply("\"second\"", "2");
    co_await until_over(f, second);
    CHECK(second.outcome->result.json == "\"second\"");
    CHECK(f.ids);
  });
}

TEST_CASE("a server that refuses to read on gets no more calls, and its words are told") {
  run([](Fixture& f) -> Task<void> {
    f.let_connect();
    f.ids = true;
    const RunningCall call(f);
    (void)co_await test::input_of(f.reactor, f.server);
    f.server.reply_error("too long", "");
    co_await until_phase(f, Phase::retired);
    CHECK(!call.outcome);
    f.server.socket.reset();
    co_await until_over(f, call);
    CHECK(call.outcome->result.code == ErrorCode::worker_died);
    CHECK(call.outcome->result.message.ends_with(" (it said: too long)"));
    CHECK(f.phase() == Phase::closed);
  });
}

TEST_CASE("a reply without an id that no call waits for ends the connection") {
  run([](Fixture& f) -> Task<void> {
    f.let_connect();
    co_await until_phase(f, Phase::open);
    f.server.reply("1", "");
    co_await until_phase(f, Phase::closed);
    CHECK(f.log == "cx");
  });
}

TEST_CASE("a connection that ends takes the calls with it that it has sent") {
  run([](Fixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall call(f);
    (void)co_await test::input_of(f.reactor, f.server);
    f.server.socket.reset();
    co_await until_over(f, call);
    CHECK(call.outcome->result.code == ErrorCode::worker_died);
    CHECK(call.outcome->sent == Sent::maybe_all);
    CHECK(f.phase() == Phase::closed);
  });
}

TEST_CASE("a call on a connection that the server has closed is not sent, and may be made again") {
  run([](Fixture& f) -> Task<void> {
    f.let_connect();
    co_await until_phase(f, Phase::open);
    f.server.socket.reset();
    const RunningCall call(f);
    co_await until_over(f, call);
    CHECK(call.outcome->result.code == ErrorCode::worker_died);
    CHECK(call.outcome->sent == Sent::nothing);
  });
}

TEST_CASE("the error of a server is the call's as it is") {
  run([](Fixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall call(f);
    (void)co_await test::input_of(f.reactor, f.server);
    f.server.reply_error("no", "1");
    co_await until_over(f, call);
    CHECK(call.outcome->result.code == ErrorCode::invalid_request);
    CHECK(call.outcome->result.message == "no");
    CHECK(f.phase() == Phase::open);
  });
}

TEST_CASE("an abandoned connection ends its calls in each phase, and tells its owner nothing") {
  run([](Fixture& f) -> Task<void> {
    const RunningCall call(f);
    co_await f.reactor.yield();
    f.connection().abandon();
    co_await until_over(f, call);
    CHECK(call.outcome->result.code == ErrorCode::shutting_down);
    CHECK(f.log.empty());
    f.let_connect();
    co_await f.reactor.yield();
    CHECK(f.log.empty());
  });
  run([](Fixture& f) -> Task<void> {
    f.let_connect();
    const RunningCall call(f);
    (void)co_await test::input_of(f.reactor, f.server);
    f.connection().abandon();
    co_await until_over(f, call);
    CHECK(call.outcome->result.message == "shutting down");
    f.connection().abandon();
    CHECK(f.log == "c");
  });
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include <handoff/async/event.hpp>
#include <handoff/async/timer.hpp>
#include <handoff/os/error.hpp>

#include "methods/upstream_connection.hpp"
#include "rpc/pending_call.hpp"
#include "unit/methods/fake_server.hpp"
#include "unit/support.hpp"

namespace handoff::test {

/// A connection whose server, whose owner and whose moment of connecting are the test's.
class UpstreamFixture : public UpstreamConnection::Owner {
 public:
  UpstreamFixture()
      : connection_(std::make_shared<UpstreamConnection>(reactor, *this, "server", 8)) {
    connection_->start([this] { return make_client(*this); });
  }
  UpstreamFixture(const UpstreamFixture&) = delete;
  UpstreamFixture& operator=(const UpstreamFixture&) = delete;
  ~UpstreamFixture() override { connection_->abandon(); }

  UpstreamConnection& connection() { return *connection_; }
  UpstreamPhase phase() const { return connection_->phase(); }

  void let_connect() { may_connect_.set(); }
  void let_connect_fail() {
    connect_error_ = "cannot connect to server: refused";
    may_connect_.set();
  }

  Reactor reactor;
  FakeServer server;
  std::string log;  ///< what the owner was told, a letter each
  bool ids = false;

 private:
  static Task<std::unique_ptr<ClientConnection>> make_client(UpstreamFixture& fixture) {
    co_await fixture.may_connect_;
    if (fixture.connect_error_) { throw Unreachable(*fixture.connect_error_); }
    std::unique_ptr<ClientConnection> client = connect_to_fake(fixture.reactor, fixture.server);
    co_return client;
  }

  void connected(const UpstreamConnection&) override { log += 'c'; }
  void connect_failed(const std::string&) override { log += 'f'; }
  void fell_silent() override { log += 'q'; }
  void answered() override {}
  void closed(const UpstreamConnection&) override { log += 'x'; }
  void not_run(PendingCall& call) override {
    log += 'n';
    call.finish(ResultView::error(ErrorCode::worker_died, "not sent"));
  }
  void not_connected(PendingCall& call, const std::string& why) override {
    log += 'u';
    call.finish(ResultView::error(ErrorCode::unreachable, why));
  }
  void shuts_down() override { log += 's'; }
  void id_given_back() override { ids = true; }
  bool gives_ids_back() const override { return ids; }

  Event may_connect_{reactor};
  std::optional<std::string> connect_error_;
  std::shared_ptr<UpstreamConnection> connection_;
};

/// A call on the connection, under way.
class RunningCall final : public PendingCall, private Timer {
 public:
  std::optional<Result> result;

  explicit RunningCall(UpstreamFixture& fixture, TimePoint deadline = kNever)
      : Timer(fixture.reactor), connection_(fixture.connection()) {
    set_view({"m", "1", {}, {}, deadline});
    set(deadline);
    connection_.begin(*this, UpstreamAttempt::first);
  }
  ~RunningCall() {
    if (!result) { connection_.cancel(*this); }
  }

 private:
  void finish(const ResultView& answer) override {
    REQUIRE(!result);
    result = {std::string(answer.json), answer.code, std::string(answer.message)};
    Timer::cancel();
  }
  void on_timer() override { connection_.time_out(*this); }

  UpstreamConnection& connection_;
};

inline TimePoint soon(const UpstreamFixture& fixture) {
  return fixture.reactor.now() + std::chrono::milliseconds(1);
}

inline Task<void> until_over(UpstreamFixture& fixture, const RunningCall& call) {
  while (!call.result) { co_await fixture.reactor.yield(); }
}

inline Task<void> until_phase(UpstreamFixture& fixture, UpstreamPhase phase) {
  while (fixture.phase() != phase) { co_await fixture.reactor.yield(); }
}

inline void run(Task<void> (*story)(UpstreamFixture&)) {
  const DescriptorCheck check;
  UpstreamFixture fixture;
  fixture.reactor.run(story(fixture));
}

}  // namespace handoff::test

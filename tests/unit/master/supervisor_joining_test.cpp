// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "master/supervisor.hpp"
#include "os/socket.hpp"
#include "supervisor_bench.hpp"

namespace handoff {
namespace {

using std::chrono::seconds;
using Bench = test::SupervisorBench;
using test::Joined;
using test::play;

TEST_CASE("a worker that joins serves once it is ready, and is forgotten when it leaves") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    Joined joined(on);
    co_await on.settle();
    CHECK(on.states() == "1 starting");
    CHECK(on.supervisor.all_started());  // nobody waits for it
    joined->say_ready();
    co_await on.settle();
    CHECK(on.mode.serving.size() == 1);
    joined->channel.reset();
    co_await on.settle();
    CHECK(on.was_told("gone 1"));
    CHECK(on.supervisor.is_empty());
    CHECK(on.started() == 0);
  });
}

TEST_CASE("a worker that joins and says nothing is sent away at its deadline") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    Joined joined(on);
    co_await on.settle();
    on.clock.advance(seconds(10));
    co_await on.settle();
    CHECK(on.supervisor.is_empty());
  });
}

TEST_CASE("a worker that has joined drains when its number is, and stays through a reload") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    Joined joined(on);
    joined->say_ready();
    co_await on.settle();
    on.ask(on.supervisor.reload());
    co_await on.settle();
    on.process(1).say_ready();
    co_await on.settle();
    CHECK(on.states() == "1 draining, 1 ready, 2 ready");
    on.ask(on.supervisor.replace(2));
    co_await on.settle();
    CHECK(on.states() == "1 draining, 1 ready, 2 draining");
    CHECK(on.outcomes == std::vector<std::string>{"ok", "ok"});
    on.clock.advance(seconds(30));
    co_await on.settle();
    CHECK(on.states() == "1 ready");
  });
}

TEST_CASE("a worker that has joined and is let go loses none of what it has returned") {
  constexpr std::size_t kMany = 200;  // more than are taken in one turn
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    Joined joined(on);
    joined->say_ready();
    co_await on.settle();
    WorkerChannel& link = *on.mode.serving.front();
    std::vector<std::uint64_t> ids;
    for (std::size_t i = 1; i <= kMany; ++i) {
      HeldConnection held;
      held.connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
      link.pass(std::move(held));
      ids.push_back(i);
    }
    link.flush();
    joined->say(channel::encode_ids(channel::Type::started, ids));
    while (on.supervisor.status().front().passed < kMany) { co_await on.reactor.yield(); }
    on.ask(on.supervisor.replace(1));
    co_await on.settle();
    Connection connection;
    connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
    channel::PackedConnections returned(channel::Type::returned);
    returned.add(connection);
    for (std::size_t i = 0; i < kMany; ++i) {
      CHECK(send_fds(joined->channel.get(), returned.bytes(), returned.descriptors()).outcome ==
            SendOutcome::sent);
    }
    on.clock.advance(seconds(30));  // before anything was received
    while (!on.supervisor.is_empty()) { co_await on.reactor.yield(); }
  });
  CHECK(bench.balancer.waiting() == kMany);
}

}  // namespace
}  // namespace handoff

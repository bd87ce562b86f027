// SPDX-License-Identifier: MIT
#include "master/worker_traffic.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "os/socket.hpp"
#include "supervisor_bench.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using Bench = test::SupervisorBench;
using test::play;

/// Passes a connection to the worker with this number, which starts it.
void pass_and_start(Bench& on, std::uint64_t id) {
  HeldConnection held;
  held.connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
  on.dispatcher.serving.front()->pass(std::move(held));
  on.dispatcher.serving.front()->flush();
  on.process(0).say(channel::encode_ids(channel::Type::started, std::array{id}));
}

TEST_CASE("connections are held from when they are passed until they are finished") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    pass_and_start(on, 1);
    pass_and_start(on, 2);
    co_await on.settle();
    CHECK(on.supervisor.open_connections() == 2);
    on.process(0).say(
        channel::encode_ids(channel::Type::finished, std::array<std::uint64_t, 1>{1}));
    co_await on.settle();
    CHECK(on.supervisor.open_connections() == 1);
    co_await on.end(0);
    CHECK(on.supervisor.open_connections() == 0);
  });
}

TEST_CASE("a returned connection that can't be passed on is lost, and counted in a stop") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.dispatcher.refuses_work = true;
    for (const bool stopping : {false, true}) {
      pass_and_start(on, stopping ? 2 : 1);
      co_await on.settle();
      if (stopping) on.supervisor.retire_all({});
      Connection connection;
      connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
      channel::PackedConnections returned(channel::Type::returned);
      returned.add(connection);
      CHECK(
          send_fds(on.process(0).channel.get(), returned.bytes(), returned.descriptors()).outcome ==
          SendOutcome::sent);
      co_await on.settle();
      CHECK(on.supervisor.open_connections() == 0);
      CHECK(on.supervisor.cut_off().connections == (stopping ? 1 : 0));
    }
    CHECK(on.lines.front().find("worker 1, pid 1000") != std::string::npos);
  });
}

TEST_CASE("the numbers of requests are waited for until all have answered, or for 200 ms") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(2);
    bool told = false;
    const auto ask = [](Bench& bench_, bool& done) -> Task<void> {
      co_await bench_.supervisor.refresh_requests();
      done = true;
    };
    on.reactor.spawn(ask(on, told));
    co_await on.settle();
    on.process(0).say(channel::encode_requests(5));
    co_await on.settle();
    CHECK(!told);
    SUBCASE("the last one answers") {
      on.process(1).say(channel::encode_requests(6));
    }
    SUBCASE("the last one dies") {
      on.process(1).end();
    }
    SUBCASE("the last one takes too long") {
      on.clock.advance(milliseconds(200));
    }
    co_await on.settle();
    CHECK(told);
    CHECK(on.supervisor.status().front().requests == 5);
  });
}

}  // namespace
}  // namespace handoff

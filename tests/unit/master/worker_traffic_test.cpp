// SPDX-License-Identifier: MIT
#include "master/worker_traffic.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "pass/ledger.hpp"
#include "played_workers.hpp"
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
  on.mode.serving.front()->pass(std::move(held));
  on.mode.serving.front()->flush();
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

/// The worker returns one of its connections.
void give_back(Bench& on) {
  Connection connection;
  connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
  channel::PackedConnections returned(channel::Type::returned);
  returned.add(connection);
  CHECK(send_fds(on.process(0).channel.get(), returned.bytes(), returned.descriptors()).outcome ==
        SendOutcome::sent);
}

/// A recipient that only counts.
class Taker final : public Recipient {
 public:
  bool has_room() const override { return room; }
  std::size_t assigned() const override { return taken; }
  std::uint64_t active_calls() const override { return 0; }
  int number() const override { return 9; }
  void pass(HeldConnection) override { ++taken; }
  void flush() override { flushed = taken; }
  std::deque<HeldConnection> take_unsent() override { return {}; }
  std::deque<HeldConnection> take_all(Reach /*reach*/) override { return {}; }

  bool room = true;
  std::size_t taken = 0;
  std::size_t flushed = 0;
};

TEST_CASE("a connection that a worker returns is sent to another at once") {
  Bench bench;
  Taker taker;
  bench.balancer.add(taker);
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    pass_and_start(on, 1);
    co_await on.settle();
    give_back(on);
    co_await on.settle();
    CHECK(on.supervisor.open_connections() == 0);
  });
  CHECK(taker.flushed == 1);
}

TEST_CASE("a returned connection waits for room, but not once all workers close what they have") {
  Bench bench;
  Taker taker;
  taker.room = false;
  bench.balancer.add(taker);
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    pass_and_start(on, 1);
    pass_and_start(on, 2);
    co_await on.settle();
    give_back(on);
    co_await on.settle();
    CHECK(on.balancer.waiting() == 1);
    on.supervisor.retire_all({});
    give_back(on);
    co_await on.settle();
    CHECK(on.balancer.waiting() == 0);
  });
  CHECK(taker.flushed == 2);
}

TEST_CASE("connections that can't be sent or received are counted as lost only in a stop") {
  test::PlayedWorkers played;
  const auto worker = played.make(1);
  const TrafficEvents events = played.traffic.traffic_events();
  events.send_failed(*worker->link(), 2, EMSGSIZE);
  events.connections_lost(*worker->link(), 3);
  CHECK(played.traffic.lost() == 0);
  played.traffic.retire(Retirement::closing);
  events.send_failed(*worker->link(), 2, EMSGSIZE);
  events.send_failed(*worker->link(), 0, EMSGSIZE);
  events.connections_lost(*worker->link(), 3);
  CHECK(played.traffic.lost() == 5);
  CHECK(played.traffic.lost_ever() == 10);
  CHECK(played.lines[1] ==
        fmt::format("cannot pass 2 connections to worker 1, pid 1000: {}; closed",
                    error_text(EMSGSIZE)));
}

TEST_CASE("what a worker returns can go to others until all close, or none takes it") {
  test::PlayedWorkers played;
  Taker taker;
  const TrafficEvents events = played.traffic.traffic_events();
  CHECK(events.passes_on());
  played.traffic.retire(Retirement::handing_over);
  CHECK_FALSE(events.passes_on());
  played.balancer.add(taker);
  CHECK(events.passes_on());
  played.traffic.retire(Retirement::closing);
  CHECK_FALSE(events.passes_on());
}

/// The worker greets, and gets a ledger; it is ready.
Task<std::shared_ptr<ledger::Ledger>> greet_with_ledger(Bench& on, std::size_t index) {
  channel::Hello hello;
  hello.credits = 1000;
  hello.wants_ledger = true;
  hello.counts_methods = true;
  on.process(index).say(channel::encode_hello(hello));
  on.process(index).say(channel::encode_ready());
  co_await on.settle();
  std::vector<char> packet(channel::kMaxMessage);
  const ReceiveResult received =
      recv_fds(on.process(index).channel.get(), packet, channel::kMaxDescriptors);
  REQUIRE(received.descriptors.size() == 1);
  auto ledger =
      std::make_shared<ledger::Ledger>(ledger::Ledger::open(received.descriptors.front()));
  co_return ledger;
}

TEST_CASE("what a worker has counted stays in the totals and under its number after its end") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    on.supervisor.add();
    co_await on.settle();
    const auto first = co_await greet_with_ledger(on, 0);
    const auto second = co_await greet_with_ledger(on, 1);
    const WorkerTraffic& traffic = on.supervisor.traffic();
    ledger::Counters::add(first->counters(0).requests, 3);
    ledger::Counters::add(first->counters(0).active_calls, 2);
    first->counters(0).count_error(static_cast<int>(ErrorCode::busy));
    first->counters(0).count_call(std::chrono::microseconds(5));
    ledger::Counters::add(second->counters(0).requests, 4);
    CHECK(traffic.totals().requests == 7);
    CHECK(traffic.totals().active_calls == 2);
    CHECK(traffic.former().empty());
    on.process(0).end();
    co_await on.settle();
    CHECK(traffic.totals().requests == 7);
    CHECK(traffic.totals().active_calls == 0);
    CHECK(traffic.totals().errors[ledger::error_counter(ErrorCode::busy)] == 1);
    CHECK(traffic.totals().call_time == 5000);
    CHECK(traffic.former().at(1).totals.requests == 3);
    CHECK(!traffic.former().contains(2));
  });
}

TEST_CASE("what a worker has counted by method stays in the totals after its end") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    on.supervisor.add();
    co_await on.settle();
    const auto first = co_await greet_with_ledger(on, 0);
    const auto second = co_await greet_with_ledger(on, 1);
    first->method_name(2).store("sum");
    second->method_name(3).store("sum");
    ledger::Counters::add(first->method_counters(0)[2].requests, 3);
    first->method_counters(0)[2].count_error(static_cast<int>(ErrorCode::busy));
    ledger::Counters::add(second->method_counters(0)[3].requests, 4);
    const auto sum = [&] { return on.supervisor.traffic().method_totals().by_name().at("sum"); };
    CHECK(sum().requests == 7);
    on.process(0).end();
    co_await on.settle();
    CHECK(sum().requests == 7);
    CHECK(sum().errors[ledger::error_counter(ErrorCode::busy)] == 1);
    on.process(1).end();
    co_await on.settle();
    CHECK(sum().requests == 7);
  });
}

TEST_CASE("connections that a worker had, and requests that it has told of, stay in the totals") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    pass_and_start(on, 1);
    on.process(0).say(channel::encode_requests(5));
    co_await on.settle();
    co_await on.end(0);
    const FormerWorkers& former = on.supervisor.traffic().former().at(1);
    CHECK(former.connections == 1);
    CHECK(former.totals.requests == 5);
    CHECK(on.supervisor.traffic().totals().requests == 5);
    CHECK(on.supervisor.traffic().lost_ever() == 1);
  });
}

TEST_CASE("a call that its worker's death interrupted is an error, and a closed connection lost") {
  test::PlayedWorkers played;
  const auto worker = played.make(1);
  played.traffic.traffic_events().rescued(*worker->link(), {2, 3, 1});
  CHECK(played.traffic.totals().errors[ledger::error_counter(ErrorCode::worker_died)] == 3);
  CHECK(played.traffic.lost_ever() == 1);
  CHECK(played.lines.back() ==
        "worker 1, pid 1000: 2 connections moved, 3 answered with an error, 1 closed");
  const std::size_t lines = played.lines.size();
  played.traffic.traffic_events().rescued(*worker->link(), {});
  CHECK(played.lines.size() == lines);
}

TEST_CASE("a worker with a ledger is not asked for its requests") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    co_await on.settle();
    const auto ledger = co_await greet_with_ledger(on, 0);
    co_await on.supervisor.refresh_requests();
    std::vector<char> packet(channel::kMaxMessage);
    CHECK(recv_fds(on.process(0).channel.get(), packet, channel::kMaxDescriptors).outcome ==
          ReceiveOutcome::would_block);
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
    CHECK(on.supervisor.status().front().totals.requests == 5);
  });
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
// A worker's life with a master that the test plays, over a socket pair. The phases by themselves
// are worker_life_test's.
#include "worker/worker.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "unit/support.hpp"
#include "unit/worker/worker_bench.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using test::kEcho;
using test::kEchoed;
using test::kSlow;
using test::WorkerBench;
using Type = channel::Type;

TEST_CASE("a worker tells what becomes of a connection that its master passes") {
  const test::DescriptorCheck check;
  WorkerBench bench;
  bench.run([](WorkerBench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    Fd client = its.pass(5);
    const channel::Message started = co_await its.next();
    CHECK(started.type == Type::started);
    CHECK(started.ids == std::vector<std::uint64_t>{5});
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    client.reset();
    const channel::Message finished = co_await its.next();
    CHECK(finished.type == Type::finished);
    CHECK(finished.ids == std::vector<std::uint64_t>{5});
    its.send(channel::encode_requests(0));
    const channel::Message requests = co_await its.next();
    CHECK(requests.type == Type::requests);
    CHECK(requests.requests == 1);
    its.send(channel::encode_drain({}));
    co_await its.until_ended();
    CHECK(its.worker->cut_off() == 0);
  });
}

TEST_CASE("a worker that is drained gives idle connections back, and ends after the others") {
  WorkerBench bench;
  bench.run([](WorkerBench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    const Fd idle = its.pass(1);
    Fd busy = its.pass(2);
    test::write_text(busy.get(), kSlow);
    co_await its.until_begun();
    its.send(channel::encode_drain({.give_back = true}));
    channel::Message returned;
    while (returned.type != Type::returned) { returned = co_await its.next(); }
    REQUIRE(returned.connections.size() == 1);
    CHECK(returned.connections.front().id == 1);
    CHECK(!its.ended);
    busy.reset();
    co_await its.until_ended();
    const channel::Message finished = co_await its.next();
    CHECK(finished.ids == std::vector<std::uint64_t>{2});
    CHECK(its.worker->cut_off() == 0);
  });
}

TEST_CASE("what a draining worker has not finished when its time is over is cut off and counted") {
  WorkerBench bench;
  bench.options.drain_timeout = milliseconds(1);
  bench.run([](WorkerBench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    const Fd client = its.pass(1);
    test::write_text(client.get(), kSlow);
    co_await its.until_begun();
    its.send(channel::encode_drain({}));
    co_await its.until_ended();
    CHECK(its.worker->cut_off() == 1);
  });
}

TEST_CASE("a worker whose master is gone finishes what it has begun, and ends") {
  WorkerBench bench;
  bench.run([](WorkerBench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    const Fd idle = its.pass(1);
    Fd busy = its.pass(2);
    test::write_text(busy.get(), kSlow);
    co_await its.until_begun();
    its.master.reset();
    const std::string end = co_await its.line(idle);
    CHECK(end.empty());
    CHECK(!its.ended);
    busy.reset();
    co_await its.until_ended();
  });
}

TEST_CASE("a worker that gets a signal asks its master to be drained, and serves until it is") {
  WorkerBench bench;
  bench.run([](WorkerBench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    kill(getpid(), SIGTERM);
    const Type asked = co_await its.next_type();
    CHECK(asked == Type::leave);
    const Fd client = its.pass(1);
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    its.send(channel::encode_drain({}));
    co_await its.until_ended();
  });
}

TEST_CASE("a worker that gets a second signal ends at once, whatever it still does") {
  WorkerBench bench;
  bench.run([](WorkerBench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    const Fd client = its.pass(1);
    test::write_text(client.get(), kSlow);
    co_await its.until_begun();
    kill(getpid(), SIGTERM);
    Type type = Type::ready;
    while (type != Type::leave) { type = co_await its.next_type(); }
    CHECK(!its.ended);
    kill(getpid(), SIGTERM);
    co_await its.until_ended();
    CHECK(its.worker->cut_off() == 1);
  });
}

TEST_CASE("a worker makes its methods again at HUP when it reloads, and else is told to end") {
  for (const bool reloads : {true, false}) {
    WorkerBench bench;
    bench.options.reloads = reloads;
    bench.run([](WorkerBench& its) -> Task<void> {
      its.begin();
      co_await its.greeted();
      kill(getpid(), SIGHUP);
      if (its.options.reloads) {
        while (its.lines.empty()) { co_await its.reactor.yield(); }
        CHECK(its.lines == std::vector<std::string>{"reloaded, 2 methods"});
      } else {
        const Type asked = co_await its.next_type();
        CHECK(asked == Type::leave);
      }
    });
  }
}

TEST_CASE("a worker asks to be replaced after its last request, and after its time") {
  WorkerBench bench;
  SUBCASE("requests") {
    bench.options.max_requests = 1;
  }
  SUBCASE("lifetime") {
    bench.options.max_lifetime = milliseconds(1);
  }
  bench.run([](WorkerBench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    const Fd client = its.pass(1);
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    Type type = Type::ready;
    while (type != Type::leave) { type = co_await its.next_type(); }
    CHECK(!its.ended);
    its.send(channel::encode_drain({}));
    co_await its.until_ended();
  });
}

TEST_CASE("a worker that is to be replaced after a while needs a channel with messages") {
  WorkerBench bench(SOCK_STREAM);
  bench.options.max_requests = 1;
  const auto error = test::thrown_by<InvalidArgument>([&] {
    bench.run([](WorkerBench& its) -> Task<void> {
      its.begin();
      co_await its.until_ended();
    });
  });
  CHECK(std::string(error.what()).starts_with("--max-requests and --max-lifetime need"));
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
// A worker with a ledger, and a master that the test plays.
#include "worker/worker_ledger.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>

#include "os/sealed_memory.hpp"
#include "unit/support.hpp"
#include "unit/worker/worker_bench.hpp"

namespace handoff {
namespace {

using channel::id_of_entry;
using channel::kKeptId;
using ledger::Ledger;
using ledger::Snapshot;
using ledger::State;
using test::kEcho;
using test::kEchoed;
using test::kSlow;
using test::WorkerBench;
using Type = channel::Type;

/// A worker whose master keeps its connections.
struct Kept : WorkerBench {
  explicit Kept(std::uint32_t entries = 4)
      : made(Ledger::make({.passed = entries, .accepted = 0, .threads = 2})), ledger(made.first) {}

  void send_ledger() { send(channel::encode_passing(Type::ledger, 1), {made.second.get()}); }
  Task<void> greet() {
    begin();
    co_await greeted();
    send_ledger();
  }
  /// Passes connections in one message; their clients' ends.
  std::vector<Fd> pass_kept(std::vector<Connection> connections) {
    std::vector<Fd> clients;
    channel::PackedConnections packed(Type::connection);
    for (Connection& connection : connections) {
      auto [server, client] = make_socket_pair(SOCK_STREAM);
      connection.socket = std::move(server);
      clients.push_back(std::move(client));
      REQUIRE(packed.add(connection));
    }
    send(packed.bytes(), {packed.descriptors().begin(), packed.descriptors().end()});
    return clients;
  }
  Fd pass_kept(std::uint32_t index, std::uint16_t generation = 1) {
    ledger.entry(index).begin(State::passed, generation, Framing::unknown, Dialect::article);
    std::vector<Connection> one;
    one.push_back(with_id(index, generation));
    return std::move(pass_kept(std::move(one)).front());
  }
  static Connection with_id(std::uint32_t index, std::uint16_t generation = 1) {
    Connection connection;
    connection.id = id_of_entry(kKeptId, index, generation);
    return connection;
  }
  State state(std::uint32_t index) const { return Snapshot(ledger.entry(index)).state(); }
  Task<void> until(std::uint32_t index, State state_then) {
    while (state(index) != state_then) { co_await reactor.yield(); }
  }

  std::pair<Ledger, Fd> made;
  const Ledger& ledger;
};

template <typename Steps>
void run(Kept& kept, Steps steps) {
  kept.reactor.run([](Kept& self, Steps& of) -> Task<void> { co_await of(self); }(kept, steps));
  kept.worker.reset();
}

TEST_CASE("a worker asks for a ledger in which each of its threads counts") {
  Kept kept;
  kept.options.threads = 2;
  run(kept, [](Kept& its) -> Task<void> {
    its.begin();
    const channel::Message hello = co_await its.next();
    CHECK(hello.hello.wants_ledger);
    CHECK(hello.hello.threads == 2);
    CHECK(hello.hello.version == 1);
    co_await its.next();
    its.send_ledger();
    std::vector<Fd> clients;
    for (std::uint32_t i = 0; i < 2; ++i) { clients.push_back(its.pass_kept(i)); }
    for (const Fd& client : clients) {
      test::write_text(client.get(), kEcho);
      const std::string line = co_await its.line(client);
      CHECK(line == kEchoed);
    }
    for (std::uint32_t i = 0; i < 2; ++i) {
      CHECK(its.ledger.counters(i).requests == 1);
      co_await its.until(i, State::idle);
    }
  });
}

TEST_CASE("a kept connection begins at once, and the master hears of its end only") {
  Kept kept;
  run(kept, [](Kept& its) -> Task<void> {
    co_await its.greet();
    Fd client = its.pass_kept(2);
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    co_await its.until(2, State::idle);
    CHECK(Snapshot(its.ledger.entry(2)).framing() == Framing::lines);
    client.reset();
    const channel::Message finished = co_await its.next();
    CHECK(finished.type == Type::finished);
    CHECK(finished.ids == std::vector<std::uint64_t>{id_of_entry(kKeptId, 2, 1)});
    CHECK(its.state(2) == State::closed);
  });
}

TEST_CASE(
    "a worker tells of each end at once with few connections, or if its master waits for room") {
  Kept kept(16);
  std::uint32_t held = 12;
  bool master_is_short = false;
  kept.options.credits = 1000;
  SUBCASE("it has few connections") {
    held = 8;
  }
  SUBCASE("it has half of what it will hold") {
    kept.options.credits = 20;
  }
  SUBCASE("the master has asked for STARTED") {
    master_is_short = true;
  }
  run(kept, [&](Kept& its) -> Task<void> {
    co_await its.greet();
    std::vector<Connection> passed;
    for (std::uint32_t i = 0; i < held; ++i) {
      its.ledger.entry(i).begin(State::passed, 1, Framing::unknown, Dialect::article);
      passed.push_back(Kept::with_id(i));
    }
    passed.back().wants_started = master_is_short;
    std::vector<Fd> clients = its.pass_kept(std::move(passed));
    if (master_is_short) { co_await its.next(); }
    co_await its.until(held - 1, State::idle);
    for (std::uint32_t i = 0; i < 2; ++i) {
      clients[i].reset();
      co_await its.until(i, State::closed);
      for (int turn = 0; turn < 3; ++turn) { co_await its.reactor.yield(); }
      char byte = 0;
      REQUIRE(recv(its.master.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
      const channel::Message finished = co_await its.next();
      CHECK(finished.ids == std::vector<std::uint64_t>{id_of_entry(kKeptId, i, 1)});
    }
  });
}

TEST_CASE("a worker with a ledger tells of what has started if the master wants to know") {
  Kept kept;
  run(kept, [](Kept& its) -> Task<void> {
    co_await its.greet();
    for (std::uint32_t i : {0U, 1U}) {
      its.ledger.entry(i).begin(State::passed, 1, Framing::unknown, Dialect::article);
    }
    std::vector<Connection> passed;
    passed.push_back(Kept::with_id(0));
    passed.push_back(Kept::with_id(1));
    passed.back().wants_started = true;
    const std::vector<Fd> clients = its.pass_kept(std::move(passed));
    const channel::Message started = co_await its.next();
    CHECK(started.type == Type::started);
    CHECK(started.ids == std::vector<std::uint64_t>{id_of_entry(kKeptId, 1, 1)});
    for (const Fd& client : clients) {
      test::write_text(client.get(), kEcho);
      const std::string line = co_await its.line(client);
      CHECK(line == kEchoed);
    }
  });
}

TEST_CASE("a worker with a ledger tells that a connection has started which is not kept") {
  Kept kept;
  run(kept, [](Kept& its) -> Task<void> {
    co_await its.greet();
    const Fd client = its.pass(5);
    const channel::Message started = co_await its.next();
    CHECK(started.type == Type::started);
    CHECK(started.ids == std::vector<std::uint64_t>{5});
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
  });
}

TEST_CASE("a connection that the master has taken back is let go, and never mentioned") {
  Kept kept;
  run(kept, [](Kept& its) -> Task<void> {
    co_await its.greet();
    its.ledger.entry(0).begin(State::passed, 2, Framing::unknown, Dialect::article);
    SUBCASE("by its state") {
      REQUIRE(its.ledger.entry(0).take(State::taken, 2));
    }
    SUBCASE("by its generation, which is of the connection after it") {
      its.ledger.entry(0).begin(State::passed, 3, Framing::unknown, Dialect::article);
    }
    std::vector<Connection> passed;
    passed.push_back(Kept::with_id(0, 2));
    const std::vector<Fd> lost = its.pass_kept(std::move(passed));
    const std::string line = co_await its.line(lost.front());
    CHECK(line.empty());
    CHECK(its.state(0) != State::received);
    its.send(channel::encode_requests(0));
    const Type next = co_await its.next_type();
    CHECK(next == Type::requests);
  });
}

TEST_CASE(
    "a kept connection is given back without its descriptor, and its client notices nothing") {
  Kept kept;
  run(kept, [](Kept& its) -> Task<void> {
    co_await its.greet();
    auto [server, client] = make_socket_pair(SOCK_STREAM);
    const Fd copy = duplicate(server.get());
    its.ledger.entry(1).begin(State::passed, 1, Framing::unknown, Dialect::article);
    Connection connection = Kept::with_id(1);
    channel::PackedConnections packed(Type::connection);
    connection.socket = std::move(server);
    packed.add(connection);
    its.send(packed.bytes(), {packed.descriptors().front()});
    connection.socket.reset();
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    its.send(channel::encode_drain({.give_back = true}));
    const channel::Message returned = co_await its.next();
    CHECK(returned.type == Type::returned);
    REQUIRE(returned.connections.size() == 1);
    CHECK(returned.connections.front().id == id_of_entry(kKeptId, 1, 1));
    CHECK(!returned.connections.front().socket.valid());
    CHECK(returned.connections.front().framing == Framing::lines);
    CHECK(its.state(1) == State::idle);
    co_await its.until_ended();
    CHECK(send(copy.get(), "x", 1, MSG_NOSIGNAL) == 1);
    char byte = 0;
    CHECK(recv(client.get(), &byte, 1, 0) == 1);
  });
}

TEST_CASE("a reply that is owed is written by the worker that gets the connection") {
  Kept kept;
  run(kept, [](Kept& its) -> Task<void> {
    co_await its.greet();
    its.ledger.entry(3).begin(State::passed, 1, Framing::lines, Dialect::article);
    std::vector<Connection> passed;
    passed.push_back(Kept::with_id(3));
    passed.back().framing = Framing::lines;
    passed.back().owed = "{\"error\":1}\n";
    const std::vector<Fd> clients = its.pass_kept(std::move(passed));
    const std::string line = co_await its.line(clients.front());
    CHECK(line == "{\"error\":1}\n");
    co_await its.until(3, State::idle);
  });
}

TEST_CASE("a worker ends when the master breaks the rules of the ledger, or it can't be mapped") {
  Kept kept;
  std::string_view expected = "cannot read the channel: a connection has no entry in the ledger";
  const auto steps = [&](void (*violate)(Kept&)) {
    run(kept, [violate](Kept& its) -> Task<void> {
      its.begin();
      co_await its.greeted();
      violate(its);
      co_await its.until_ended();
    });
  };
  void (*violate)(Kept&) = nullptr;
  SUBCASE("a connection with an entry, and no ledger") {
    violate = [](Kept& its) { its.pass_kept(0); };
  }
  SUBCASE("a connection with an entry beyond the last") {
    violate = [](Kept& its) {
      its.send_ledger();
      std::vector<Connection> passed;
      passed.push_back(Kept::with_id(4));
      its.pass_kept(std::move(passed));
    };
  }
  SUBCASE("two ledgers") {
    expected = "cannot read the channel: the master sent a second ledger";
    violate = [](Kept& its) {
      its.send_ledger();
      its.send_ledger();
    };
  }
  SUBCASE("something else instead of a ledger") {
    expected = "cannot use the ledger: the master sent something else";
    violate = [](Kept& its) {
      const SharedMemory memory = make_memory_for_both("other", 4096);
      its.send(channel::encode_passing(Type::ledger, 1), {memory.file.get()});
    };
  }
  SUBCASE("a ledger whose descriptor is lost") {
    expected = "cannot receive the ledger: Too many open files";
    violate = [](Kept& its) { its.send(channel::encode_passing(Type::ledger, 1)); };
  }
  SUBCASE("a file that can't be mapped") {
    expected = "cannot map the ledger: Invalid argument";
    violate = [](Kept& its) {
      const Pipe pipe = make_pipe();
      its.send(channel::encode_passing(Type::ledger, 1), {pipe.read_end.get()});
    };
  }
  std::string error;
  try {
    steps(violate);
  } catch (const std::exception& thrown) { error = thrown.what(); }
  CHECK(error == expected);
}

TEST_CASE("a running call of a kept connection stands in the ledger, for its master to answer") {
  Kept kept;
  run(kept, [](Kept& its) -> Task<void> {
    co_await its.greet();
    const Fd client = its.pass_kept(0);
    test::write_text(client.get(), "{\"jsonrpc\":\"2.0\",\"method\":\"slow\",\"id\":\"x\"}\n");
    co_await its.until_begun();
    CHECK(its.state(0) == State::running);
    CHECK(Snapshot(its.ledger.entry(0)).id() == "\"x\"");
    CHECK(Snapshot(its.ledger.entry(0)).dialect() == Dialect::json_rpc);
    CHECK(its.ledger.totals().active_calls == 1);
  });
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
// Where a worker has its connections from.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>

#include "os/listener.hpp"
#include "os/sealed_memory.hpp"
#include "os/socket.hpp"
#include "pass/ring.hpp"
#include "unit/support.hpp"
#include "unit/worker/worker_bench.hpp"
#include "worker/worker.hpp"

namespace handoff {
namespace {

using test::kEcho;
using test::kEchoed;
using test::WorkerBench;
using Type = channel::Type;

TEST_CASE("on a channel without messages a worker takes connections until its end") {
  const test::DescriptorCheck check;
  WorkerBench bench(SOCK_STREAM);
  bench.run([](WorkerBench& its) -> Task<void> {
    its.begin();
    auto [server, client] = make_socket_pair(SOCK_STREAM);
    its.send("x", {server.get()});
    server.reset();
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    its.master.reset();
    co_await its.until_ended();
  });
}

TEST_CASE("a worker accepts from listeners that it is passed, and reports such connections") {
  WorkerBench bench;
  bench.run([](WorkerBench& its) -> Task<void> {
    const Listener listener = listen_on(Address::parse("127.0.0.1:0"));
    its.begin();
    co_await its.greeted();
    its.send(channel::encode_passing(Type::listener, 1), {listener.fd()});
    const SocketAddress address = local_address(listener.fd());
    Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(connect(client.get(), address.data(), address.size()) == 0);
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    const channel::Message started = co_await its.next();
    CHECK(started.type == Type::started);
    REQUIRE(started.ids.size() == 1);
    CHECK((started.ids.front() & channel::kOwnId) != 0);
    client.reset();
    const channel::Message finished = co_await its.next();
    CHECK(finished.type == Type::finished);
    CHECK(finished.ids == started.ids);
    // What waits at the listener when the worker drains is the master's.
    its.send(channel::encode_drain({.give_back = true}));
    co_await its.until_ended();
    const Fd late(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(connect(late.get(), address.data(), address.size()) == 0);
    CHECK(try_accept(listener.fd()).outcome == Accepted::Outcome::connection);
  });
}

TEST_CASE("a master that passes a second queue breaks the protocol") {
  WorkerBench bench;
  const auto error = test::thrown_by<ProtocolError>([&] {
    bench.run([](WorkerBench& its) -> Task<void> {
      const std::size_t size = RingEnd::memory_size(1000);
      const SharedMemory masters = make_memory_to_write("requests", size);
      const SharedMemory workers = make_memory_to_read("replies", size);
      its.begin();
      co_await its.greeted();
      for (int i = 0; i < 2; ++i) {
        its.send(channel::encode_passing(Type::queue, 2), {masters.file.get(), workers.file.get()});
      }
      co_await its.until_ended();
    });
  });
  CHECK(std::string(error.what()) == "cannot read the channel: the master sent a second queue");
}

TEST_CASE("a connection whose spilled bytes can't be read costs that connection, and is said") {
  WorkerBench bench;
  bench.run([](WorkerBench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    auto [server, client] = make_socket_pair(SOCK_STREAM);
    Connection connection;
    connection.socket = std::move(server);
    connection.id = 3;
    connection.unread = std::string(channel::kMaxUnread + 1, 'x');
    connection.spill_to_memfd();
    REQUIRE(ftruncate(connection.spilled.get(), 0) < 0);  // it is sealed
    connection.spilled = Fd(dup(its.master.get()));       // something else instead
    channel::PackedConnections packed(Type::connection);
    REQUIRE(packed.add(connection));
    its.send(packed.bytes(), {connection.socket.get(), connection.spilled.get()});
    channel::Message message;
    while (message.type != Type::finished) { message = co_await its.next(); }
    CHECK(message.ids == std::vector<std::uint64_t>{3});
    CHECK(its.lines.size() == 1);
  });
}

TEST_CASE("a worker without a master serves on its own listener until a signal") {
  const test::TemporaryDirectory directory;
  WorkerBench bench;
  bench.run([&](WorkerBench& its) -> Task<void> {
    const Address address = Address::parse(directory.path("socket"));
    its.make();
    its.reactor.spawn(WorkerBench::run_worker(its, its.worker->run_alone({address})));
    while (its.lines.empty()) { co_await its.reactor.yield(); }
    CHECK(its.lines == std::vector{"ready, on " + directory.path("socket")});
    const SocketAddress target = address.resolve().front();
    const Fd client = make_socket(target);
    REQUIRE(connect(client.get(), target.data(), target.size()) == 0);
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    kill(getpid(), SIGTERM);
    co_await its.until_ended();
    const std::string end = co_await its.line(client);
    CHECK(end.empty());
  });
  CHECK(directory.entries() == 0);
}

TEST_CASE("a worker that joins is refused when there is no master, unless it is to wait") {
  const test::TemporaryDirectory directory;
  WorkerBench bench;
  CHECK_THROWS_AS(bench.run([&](WorkerBench& its) -> Task<void> {
    its.make();
    co_await its.worker->run_joined(Address::parse(directory.path("socket")), Duration());
  }),
                  Unreachable);
}

}  // namespace
}  // namespace handoff

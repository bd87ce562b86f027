// SPDX-License-Identifier: MIT
// The client's address of a connection of which the master keeps a copy.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>

#include "master/kept_connections.hpp"
#include "os/socket.hpp"
#include "pass/channel.hpp"

namespace handoff {
namespace {

using ledger::State;

struct Fixture {
  Fixture() {
    auto [masters, file] = ledger::Ledger::make({.passed = 200, .accepted = 3});
    workers.emplace(ledger::Ledger::open(file));
    kept.emplace(std::move(masters), custody);
  }
  /// Passes a connection with this peer; without one if the text is empty. Returns its id.
  std::uint64_t pass(std::string_view peer) {
    HeldConnection held;
    held.connection.socket = make_socket_pair(SOCK_STREAM).second;
    if (!peer.empty()) { held.connection.peer = Address::parse(peer).resolve().front(); }
    const std::optional<std::uint64_t> id = kept->reserve(held.connection);
    REQUIRE(id);
    held.connection.id = *id;
    kept->sent(std::move(held));
    return *id;
  }
  std::string returned_peer(std::uint64_t id) {
    Connection connection;
    connection.id = id;
    Custody::Hold hold;
    REQUIRE(kept->returned(connection, hold));
    return connection.peer.text();
  }
  std::string rescued_peer() {
    const Rescued rescued = kept->take_all(Reach::dead);
    REQUIRE(rescued.connections.size() == 1);
    return rescued.connections.front().connection.peer.text();
  }

  Reactor reactor;
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 1);
  std::optional<ledger::Ledger> workers;
  std::optional<KeptConnections> kept;
};

TEST_CASE("a connection that comes back has the client that it was passed with") {
  Fixture fixture;
  for (const char* peer : {"192.0.2.7:4660", "[2001:db8::5]:65535", "/run/client.sock"}) {
    CHECK(fixture.returned_peer(fixture.pass(peer)) == peer);
  }
  // The entry is used again, and nothing of the client before is left.
  CHECK(fixture.returned_peer(fixture.pass("")) == "unix");
}

TEST_CASE("a connection that is taken back at a worker's death has its client") {
  Fixture fixture;
  fixture.pass("192.0.2.7:4660");
  CHECK(fixture.rescued_peer() == "192.0.2.7:4660");
}

TEST_CASE("a deposited connection has the client that the worker has told, or the socket's peer") {
  for (const std::string peer : {"192.0.2.7:4660", ""}) {
    CAPTURE(peer);
    Fixture fixture;
    fixture.workers->entry(201).begin(State::received, 5, Framing::lines, Dialect::article);
    const auto [client, server] = make_socket_pair(SOCK_STREAM);
    Connection connection;
    connection.id = channel::id_of_entry(channel::kOwnId, 201, 5);
    connection.socket = duplicate(server.get());
    if (!peer.empty()) { connection.peer = Address::parse(peer).resolve().front(); }
    REQUIRE(fixture.kept->deposited(std::move(connection)));
    fixture.workers->entry(201).store(State::idle);
    CHECK(fixture.rescued_peer() == (peer.empty() ? "unix" : peer));
  }
}

}  // namespace
}  // namespace handoff

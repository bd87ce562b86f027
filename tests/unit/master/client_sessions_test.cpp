// SPDX-License-Identifier: MIT
#include "master/client_sessions.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>

#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A queue whose connections may bring some 128 KiB.
ClientSessions::Options small() {
  ClientSessions::Options options;
  options.limits.max_frame = 32 << 10;
  options.limits.max_unsent = 64 << 10;
  options.limits.memory = std::make_shared<MemoryBudget>(64 << 10);
  return options;
}

Connection connection_with(std::size_t unread) {
  Connection connection;
  connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
  connection.unread.assign(unread, 'x');
  return connection;
}

struct Fixture {
  Reactor reactor;
  Balancer balancer{Balance::round_robin};
  std::vector<std::uint64_t> closed;
  ClientSessions sessions{reactor, balancer, small(),
                          [this](std::uint64_t id) { closed.push_back(id); },
                          [](std::string_view) {}};

  void drain(channel::Drain how) {
    reactor.run([](Fixture& its, channel::Drain drain) -> Task<void> {
      its.sessions.drain(drain);
      while (its.sessions.open_connections() > 0) { co_await its.reactor.yield(); }
    }(*this, how));
  }
};

TEST_CASE("open throws for a connection that can't be served, and serves the next") {
  const test::DescriptorCheck check;
  Fixture fixture;
  ClientSessions& sessions = fixture.sessions;
  Connection connection;
  SUBCASE("because it brings more than a connection may") {
    connection = connection_with(1 << 20);
    connection.spill_to_memfd();
    CHECK_THROWS_AS(sessions.open(std::move(connection)), ProtocolError);
  }
  SUBCASE("because its spilled bytes are fewer than was said") {
    connection = connection_with(channel::kMaxUnread + 1);
    connection.spill_to_memfd();
    ++connection.spilled_size;
    CHECK_THROWS_AS(sessions.open(std::move(connection)), ProtocolError);
  }
  SUBCASE("because its spilled bytes can't be read") {
    connection = connection_with(channel::kMaxUnread + 1);
    connection.spill_to_memfd();
    connection.spilled = std::move(make_socket_pair(SOCK_STREAM).first);
    CHECK_THROWS_AS(sessions.open(std::move(connection)), SystemError);
  }
  CHECK(sessions.open_connections() == 0);
  sessions.open(connection_with(0));
  CHECK(sessions.open_connections() == 1);
  fixture.drain({});
}

TEST_CASE("connections go to a successor through the balancer, and otherwise end") {
  const test::DescriptorCheck check;
  for (const bool give_back : {false, true}) {
    CAPTURE(give_back);
    Fixture fixture;
    // A client that has hung up would be no connection to give.
    auto [ours, clients] = make_socket_pair(SOCK_STREAM);
    Connection connection;
    connection.socket = std::move(ours);
    connection.id = 7;
    fixture.sessions.open(std::move(connection));
    fixture.drain({.give_back = give_back});
    CHECK(fixture.balancer.waiting() == (give_back ? 1 : 0));
    CHECK(fixture.closed == std::vector<std::uint64_t>{7});
    CHECK(fixture.sessions.lost() == 0);
  }
}

TEST_CASE("as many connections can be served as there are descriptors besides those of workers") {
  const Fixture without;
  ClientSessions::Options options = small();
  options.workers = 10;
  Reactor reactor;
  Balancer balancer(Balance::round_robin);
  const ClientSessions sessions(
      reactor, balancer, options, [](std::uint64_t) {}, [](std::string_view) {});
  CHECK(sessions.most_connections() < without.sessions.most_connections());
  CHECK(sessions.has_room());
  options.workers = descriptor_limit();
  CHECK_THROWS_AS(ClientSessions(
                      reactor, balancer, options, [](std::uint64_t) {}, [](std::string_view) {}),
                  InvalidArgument);
}

TEST_CASE("requests of clients and their errors are counted") {
  Fixture fixture;
  Connection connection = connection_with(0);
  connection.framing = Framing::lines;
  connection.unread = "{\"in\":\"x\",\"params\":}\n";
  fixture.sessions.open(std::move(connection));
  fixture.drain({});
  const ledger::Totals totals = fixture.sessions.totals();
  CHECK(totals.requests == 1);
  CHECK(totals.errors[ledger::error_counter(ErrorCode::parse_error)] == 1);
  CHECK(totals.active_calls == 0);
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "rpc/acceptor.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

struct Fixture {
  Fixture() {
    owner.accepted = [this](Connection connection) {
      connections.push_back(std::move(connection));
    };
  }
  Acceptor& make(Sharing sharing = Sharing::none) {
    return acceptor.emplace(
        reactor, listen_on(address), owner,
        [this](Severity, std::string_view line) { lines.emplace_back(line); }, PeerJudge(),
        Judged::abstract_names, sharing);
  }
  /// A client, connected as soon as this returns: the listener's backlog has room.
  Fd connect() const {
    const SocketAddress to = address.resolve().front();
    Fd client = make_socket(to, SOCK_STREAM);
    REQUIRE(::connect(client.get(), to.data(), to.size()) == 0);
    return client;
  }
  template <typename Done>
  Task<void> until(Done done) {
    while (!done()) { co_await reactor.sleep_until(Clock::now()); }
  }
  /// Lets everything that is ready run.
  Task<void> turns() {
    for (int i = 0; i < 5; ++i) { co_await reactor.sleep_until(Clock::now()); }
  }

  test::TemporaryDirectory folder;
  Address address = Address::parse(folder.path("socket"));
  Reactor reactor;
  AcceptorOwner owner;
  std::vector<Connection> connections;
  std::vector<std::string> lines;
  std::optional<Acceptor> acceptor;
};

TEST_CASE_FIXTURE(Fixture, "an acceptor needs nothing but a function for what it accepts") {
  Acceptor& accepts = make();
  CHECK(accepts.is_idle());
  const auto main = [&]() -> Task<void> {
    reactor.spawn(accepts.run());
    CHECK(accepts.is_running());
    const Fd first = connect();
    const Fd second = connect();
    co_await until([&] { return connections.size() == 2; });
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "an acceptor without room sleeps until there may be some") {
  bool has_room = false;
  int bursts = 0;
  owner.has_room = [&] { return has_room; };
  owner.burst_ended = [&] { ++bursts; };
  Acceptor& accepts = make();
  const auto main = [&]() -> Task<void> {
    reactor.spawn(accepts.run());
    const Fd client = connect();
    co_await turns();
    CHECK(connections.empty());
    SUBCASE("there is none yet") {
      accepts.resume();
      co_await turns();
      CHECK(connections.empty());
    }
    SUBCASE("there is some") {
      has_room = true;
      accepts.resume();
      co_await until([&] { return connections.size() == 1; });
      CHECK(bursts > 0);
    }
    SUBCASE("clients that wait are accepted nevertheless, at the end") {
      accepts.accept_waiting();
      CHECK(connections.size() == 1);
    }
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "a connection that its owner cannot take is closed, and no other") {
  owner.accepted = [this](Connection connection) {
    if (connections.empty() && lines.empty()) { throw std::runtime_error("no memory"); }
    connections.push_back(std::move(connection));
  };
  Acceptor& accepts = make();
  const auto main = [&]() -> Task<void> {
    reactor.spawn(accepts.run());
    const Fd lost = connect();
    co_await until([&] { return !lines.empty(); });
    char byte = 0;
    CHECK(recv(lost.get(), &byte, 1, 0) == 0);
    const Fd taken = connect();
    co_await until([&] { return connections.size() == 1; });
  };
  reactor.run(main());
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] ==
        "cannot take a connection of " + folder.path("socket") + ": no memory; it is closed");
}

TEST_CASE_FIXTURE(Fixture, "an acceptor that is closed gives its name up") {
  Acceptor& accepts = make();
  SUBCASE("it runs") {
    const auto main = [&]() -> Task<void> {
      reactor.spawn(accepts.run());
      co_await turns();
      accepts.close();
      accepts.close();
      co_await until([&] { return !accepts.is_running(); });
    };
    reactor.run(main());
  }
  SUBCASE("it does not run yet") {
    accepts.close();
  }
  CHECK_FALSE(accepts.is_running());
  CHECK_FALSE(accepts.is_idle());
  CHECK(folder.entries() == 0);
  accepts.resume();
  accepts.accept_now();
  accepts.accept_waiting();
}

TEST_CASE_FIXTURE(Fixture, "an acceptor that shares its listener leaves to others who waits") {
  int left = 0;
  bool has_room = false;
  owner.has_room = [&] { return has_room; };
  owner.leaves_to_others = [&] { ++left; };
  Acceptor& accepts = make(Sharing::wake_one);
  const auto main = [&]() -> Task<void> {
    reactor.spawn(accepts.run());
    const Fd client = connect();
    co_await until([&] { return left == 1; });
    accepts.close();
    co_await until([&] { return left == 2; });
  };
  reactor.run(main());
}

}  // namespace
}  // namespace handoff

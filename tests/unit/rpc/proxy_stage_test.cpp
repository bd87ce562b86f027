// SPDX-License-Identifier: MIT
#include "rpc/proxy_stage.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <deque>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

constexpr std::string_view kLine = "PROXY TCP4 192.0.2.7 10.0.0.1 4660 8080\r\n";
constexpr std::string_view kRequest = "{\"in\":\"ping\"}\n";

struct Fixture {
  ProxyStage& make(ProxyStage::Limits limits = {}) {
    ProxyStage::Owner owner;
    owner.accepted = [this](Connection connection) {
      if (throws) { throw std::runtime_error("no memory"); }
      connections.push_back(std::move(connection));
    };
    owner.burst_ended = [this] { ++bursts; };
    owner.left = [this] { ++left; };
    return stage.emplace(
        reactor, parse_ranges("10.0.0.0/8"), std::move(owner),
        [this](Severity, std::string_view line) { lines.emplace_back(line); }, limits);
  }
  /// Gives the stage a connection that seems to come from this address, and returns its other end.
  Fd accept(std::string_view from = "10.0.0.9:555", std::string_view first = {}) {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    if (!first.empty()) { test::write_text(theirs.get(), first); }
    stage->take({.socket = std::move(ours), .peer = Address::parse(from).resolve().front()});
    return std::move(theirs);
  }
  template <typename Done>
  Task<void> until(Done done) {
    while (!done()) { co_await reactor.sleep_until(Clock::now()); }
  }
  Task<void> turns() {
    for (int i = 0; i < 5; ++i) { co_await reactor.sleep_until(Clock::now()); }
  }
  /// What is left to read of the first connection that has gone on.
  std::string unread() const {
    std::array<char, 256> buffer{};
    const ssize_t size =
        recv(connections.at(0).socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return size <= 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(size));
  }
  static bool is_closed(const Fd& client) {
    char byte = 0;
    return recv(client.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0 || errno == ECONNRESET;
  }

  Reactor reactor;
  std::deque<Connection> connections;
  std::vector<std::string> lines;
  int bursts = 0;
  int left = 0;
  bool throws = false;
  std::optional<ProxyStage> stage;  // it may say something at its end
};

TEST_CASE_FIXTURE(Fixture, "a connection from another address goes on at once and unread") {
  make();
  const auto main = [&]() -> Task<void> {
    const Fd client = accept("192.168.0.1:555", kLine);
    CHECK(connections.size() == 1);
    CHECK(connections.at(0).peer.text() == "192.168.0.1:555");
    CHECK(unread() == kLine);
    co_return;
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "a connection whose header is there goes on at once with its client") {
  make();
  const auto main = [&]() -> Task<void> {
    const Fd client = accept("10.0.0.9:555", std::string(kLine).append(kRequest));
    REQUIRE(connections.size() == 1);
    CHECK(connections[0].peer.text() == "192.0.2.7:4660");
    CHECK(unread() == kRequest);
    CHECK(stage->waiting() == 0);
    CHECK(bursts == 0);
    co_return;
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "a header may arrive byte by byte, and nothing after it is read") {
  make();
  const auto main = [&]() -> Task<void> {
    const Fd client = accept();
    CHECK(stage->waiting() == 1);
    for (const char byte : kLine) {
      CHECK(connections.empty());
      test::write_text(client.get(), {&byte, 1});
      co_await turns();
    }
    test::write_text(client.get(), kRequest);
    co_await until([&] { return !connections.empty(); });
    CHECK(connections[0].peer.text() == "192.0.2.7:4660");
    CHECK(unread() == kRequest);
    CHECK(stage->waiting() == 0);
    CHECK(bursts == 1);
    CHECK(left == 1);
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "a connection without a client's address keeps that of the proxy") {
  make();
  const auto main = [&]() -> Task<void> {
    const Fd client = accept("10.0.0.9:555", "PROXY UNKNOWN\r\n");
    REQUIRE(connections.size() == 1);
    CHECK(connections[0].peer.text() == "10.0.0.9:555");
    co_return;
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "a malformed header closes the connection, is counted and reported") {
  make();
  const auto main = [&]() -> Task<void> {
    const Fd client = accept("10.0.0.9:555", kRequest);
    CHECK(is_closed(client));
    const Fd later = accept();
    test::write_text(later.get(), "PROXY TCP9 \r\n");
    co_await until([&] { return stage->waiting() == 0; });
    co_await turns();
    CHECK(is_closed(later));
    CHECK(connections.empty());
    CHECK(stage->refused() == 2);
    CHECK(left == 1);
    REQUIRE(lines.size() == 1);  // the second is held back
    CHECK(lines[0] ==
          "cannot read the PROXY header of 10.0.0.9:555: it begins in another way; the connection "
          "is closed");
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "a header that does not arrive in time closes the connection") {
  make({.time = std::chrono::milliseconds(1)});
  const auto main = [&]() -> Task<void> {
    const Fd client = accept("10.0.0.9:555", "PROXY TCP4 ");
    co_await until([&] { return stage->refused() == 1; });
    co_await turns();
    CHECK(is_closed(client));
    CHECK(stage->waiting() == 0);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0] ==
          "cannot read the PROXY header of 10.0.0.9:555: it did not arrive within 1ms; the "
          "connection is closed");
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "a connection that ends before its first byte is no failure") {
  make();
  const auto main = [&]() -> Task<void> {
    Fd client = accept();
    client.reset();
    co_await until([&] { return left == 1; });
    CHECK(stage->refused() == 0);
    CHECK(lines.empty());
    Fd within = accept("10.0.0.9:555", "PROXY ");
    within.reset();
    co_await until([&] { return left == 2; });
    CHECK(stage->refused() == 1);
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "the connection that has waited longest makes room for another") {
  make({.most = 2});
  const auto main = [&]() -> Task<void> {
    const Fd first = accept();
    const Fd second = accept();
    const Fd third = accept();
    const Fd fourth = accept("10.0.0.9:555", "PROXY ");
    CHECK(stage->waiting() == 2);
    co_await until([&] { return stage->refused() == 2; });
    co_await turns();
    CHECK(is_closed(first));
    CHECK(is_closed(second));
    CHECK_FALSE(is_closed(third));
    CHECK_FALSE(is_closed(fourth));
    test::write_text(third.get(), kLine);
    co_await until([&] { return connections.size() == 1; });
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "close() closes those that wait without a report") {
  make();
  const auto main = [&]() -> Task<void> {
    const Fd first = accept();
    const Fd second = accept();
    co_await turns();
    stage->close();
    CHECK(stage->waiting() == 0);
    co_await turns();
    CHECK(is_closed(first));
    CHECK(is_closed(second));
    CHECK(stage->refused() == 0);
    CHECK(lines.empty());
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "an owner that cannot take a connection costs only this connection") {
  make();
  throws = true;
  const auto main = [&]() -> Task<void> {
    const Fd client = accept();
    test::write_text(client.get(), kLine);
    co_await until([&] { return left == 1; });
    CHECK(is_closed(client));
    REQUIRE(lines.size() == 1);
    CHECK(lines[0] == "cannot take a connection from 192.0.2.7:4660: no memory; it is closed");
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "the proxies can change") {
  make();
  const auto main = [&]() -> Task<void> {
    stage->use({});
    const Fd client = accept();
    CHECK(connections.size() == 1);
    co_return;
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "connections that still wait at the end are closed with the reactor") {
  const test::DescriptorCheck check;
  make();
  Fd client;
  const auto main = [&]() -> Task<void> {
    client = accept();
    co_await turns();
  };
  reactor.run(main());
  stage->close();
  client.reset();
}

}  // namespace
}  // namespace handoff

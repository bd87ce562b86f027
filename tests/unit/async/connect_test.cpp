// SPDX-License-Identifier: MIT
#include "async/connect.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

DialedSocket connect_now(Reactor& reactor, const std::string& text, TimeLimit limit = {}) {
  const Address address = Address::parse(text);
  return reactor.run_for_result(connect_to(reactor, address, limit));
}

template <typename Exception>
std::string failure(const std::string& text, TimeLimit limit = {}) {
  Reactor reactor;
  return test::thrown_by<Exception>([&] { (void)connect_now(reactor, text, limit); }).what();
}

/// Connections to a listener that nobody accepts from, until its backlog is full.
std::vector<Fd> fill_backlog(const SocketAddress& target, std::size_t at_most) {
  std::vector<Fd> sockets;
  while (sockets.size() < at_most) {
    sockets.push_back(make_socket(target));
    if (connect(sockets.back().get(), target.data(), target.size()) < 0 && errno == EAGAIN) {
      break;
    }
  }
  return sockets;
}

TEST_CASE("a TCP and a Unix listener are connected to") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  Reactor reactor;
  for (const std::string& text : {std::string("127.0.0.1:0"), directory.path("s")}) {
    const Listener listener = listen_on(Address::parse(text));
    const DialedSocket connection =
        connect_now(reactor, listener.text(), Clock::now() + seconds(10));
    CHECK(!connection.child);
    CHECK(test::closes_on_exec(connection.socket.get()));
    REQUIRE(test::becomes_readable(listener.fd()));
    const Accepted accepted = try_accept(listener.fd());
    REQUIRE(accepted.outcome == Accepted::Outcome::connection);
    test::write_text(connection.socket.get(), "x");
    CHECK(test::becomes_readable(accepted.fd.get()));
  }
}

TEST_CASE("a port or a path where nobody listens is unreachable") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string closed = listen_on(Address::parse(":0")).text();
  CHECK(failure<Unreachable>(closed) == "cannot connect to " + closed + ": Connection refused");
  const std::string missing = directory.path("s");
  CHECK(failure<Unreachable>(missing) ==
        "cannot connect to " + missing + ": No such file or directory");
  const std::string abstract = "@handoff-nobody-" + std::to_string(getpid());
  CHECK(failure<Unreachable>(abstract) == "cannot connect to " + abstract + ": Connection refused");
}

TEST_CASE("a name that is not known is unreachable") {
  const test::DescriptorCheck check;
  const std::string text = std::string(64, 'x') + ".invalid:80";
  CHECK(failure<Unreachable>(text).starts_with("cannot connect to " + text + ": the lookup of " +
                                               std::string(64, 'x') + ".invalid failed: "));
}

TEST_CASE("a descriptor is taken as the connection") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [left, right] = make_socket_pair(SOCK_STREAM);
  const int number = left.release();
  const DialedSocket connection = connect_now(reactor, "fd:" + std::to_string(number));
  CHECK(connection.socket.get() == number);
  CHECK(!connection.child);
}

TEST_CASE("a command is connected to through its stdin and stdout") {
  const test::DescriptorCheck check;
  Reactor reactor;
  DialedSocket connection = connect_now(reactor, "exec:tr a-z A-Z; exit 3");
  REQUIRE(connection.child);
  test::write_text(connection.socket.get(), "text");
  shutdown(connection.socket.get(), SHUT_WR);
  CHECK(test::read_until_end(connection.socket.get()) == "TEXT");
  CHECK(connection.child->reap().code == 3);
}

TEST_CASE("a command that can't be run closes the connection with the shell's status") {
  const test::DescriptorCheck check;
  Reactor reactor;
  DialedSocket connection = connect_now(reactor, "exec:exec 2>&-; no-such-program");
  CHECK(test::read_until_end(connection.socket.get()).empty());
  CHECK(connection.child->reap().code == 127);
}

TEST_CASE("a Unix listener with a full backlog times out") {
  const test::DescriptorCheck check;
  const std::string text = "@handoff-full-" + std::to_string(getpid());
  const Listener listener = listen_on(Address::parse(text), {.backlog = 1});
  const auto waiting = fill_backlog(local_address(listener.fd()), 10);
  REQUIRE(waiting.size() < 10);
  const TimePoint deadline = Clock::now() + milliseconds(30);
  CHECK(failure<TimedOut>(text, deadline).starts_with("cannot connect to " + text + " within "));
  CHECK(failure<TimedOut>(text, Clock::now() - seconds(1)) ==
        "cannot connect to " + text + ": the listener's backlog is full");
}

TEST_CASE("a place in a full backlog is taken once there is one") {
  const test::DescriptorCheck check;
  Reactor reactor;
  const Address address = Address::parse("@handoff-full-" + std::to_string(getpid()));
  const Listener listener = listen_on(address, {.backlog = 1});
  const auto waiting = fill_backlog(local_address(listener.fd()), 10);
  const auto accept_one = [&]() -> Task<void> {
    co_await reactor.sleep_until(reactor.now() + milliseconds(1));
    CHECK(try_accept(listener.fd()).outcome == Accepted::Outcome::connection);
  };
  reactor.spawn(accept_one());
  const DialedSocket connection =
      reactor.run_for_result(connect_to(reactor, address, Clock::now() + seconds(10)));
  CHECK(peer_address(connection.socket.get()).text() == address.text);
}

TEST_CASE("a TCP listener with a full backlog times out") {
  const test::DescriptorCheck check;
  const Listener listener = listen_on(Address::parse(":0"), {.backlog = 0});
  const auto waiting = fill_backlog(local_address(listener.fd()), 5);
  const TimePoint deadline = Clock::now() + milliseconds(20);
  CHECK(failure<TimedOut>(listener.text(), {deadline, milliseconds(20)}) ==
        "cannot connect to " + listener.text() + " within 20ms: no answer");
  CHECK(Clock::now() >= deadline);
}

TEST_CASE("a connection attempt can be dropped") {
  const test::DescriptorCheck check;
  Reactor reactor;
  const Listener listener = listen_on(Address::parse(":0"), {.backlog = 0});
  const auto waiting = fill_backlog(local_address(listener.fd()), 5);
  const Address address = Address::parse(listener.text());
  bool connected = false;
  const auto attempt = [&]() -> Task<void> {
    (void)co_await connect_to(reactor, address, kNever);
    connected = true;
  };
  const auto main = [&]() -> Task<void> {
    for (int i = 0; i < 5; ++i) { co_await reactor.yield(); }
  };
  reactor.spawn(attempt());
  reactor.run(main());
  CHECK(!connected);
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "commands/rendezvous.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include <handoff/os/error.hpp>

#include "async/connect.hpp"
#include "os/listener.hpp"
#include "os/socket.hpp"
#include "pass/sources.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using test::DescriptorCheck;
using test::TemporaryDirectory;
using test::thrown_by;

constexpr Duration kShort = milliseconds(5);

RendezvousOptions at(const std::string& word) {
  RendezvousOptions options;
  options.socket = parse_socket(word, -1);
  return options;
}

std::string word_of(const Fd& socket) {
  return "fd:" + std::to_string(socket.get());
}

/// What takes part in a rendezvous, and says nothing.
struct Party {
  explicit Party(RendezvousOptions options)
      : log("test", nothing.get()), rendezvous(reactor, std::move(options), log) {}

  std::optional<Fd> next() { return reactor.run_for_result(rendezvous.next()); }

  Fd nothing = open_file("/dev/null", OpenMode::write);
  Reactor reactor;
  StderrLog log;
  Rendezvous rendezvous;
};

/// A client that is connected, or waits in the backlog.
Fd client_of(const std::string& path) {
  Reactor reactor;
  const Address address = Address::parse(path);
  DialedSocket dialed = reactor.run_for_result(connect_to(reactor, address, TimeLimit{}));
  return std::move(dialed.socket);
}

TEST_CASE("a descriptor that was given is the only connection, and is owned by what gets it") {
  const DescriptorCheck check;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  Party party(at(word_of(ours)));
  CHECK_FALSE(party.rendezvous.listens());
  const int number = ours.release();
  {
    const std::optional<Fd> first = party.next();
    REQUIRE(first.has_value());
    CHECK(first->get() == number);
  }
  CHECK_FALSE(test::is_open(number));
  CHECK_FALSE(party.next().has_value());
}

TEST_CASE("the side that listens gives a connection for each client") {
  const DescriptorCheck check;
  const TemporaryDirectory directory;
  RendezvousOptions options = at(directory.path("s"));
  options.listen = true;
  Party party(std::move(options));
  CHECK(party.rendezvous.listens());
  const Fd first = client_of(directory.path("s"));
  const Fd second = client_of(directory.path("s"));
  CHECK(party.next().has_value());
  CHECK(party.next().has_value());
}

TEST_CASE("a listener that was given is accepted from") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("s");
  Listener listener = listen_on(Address::parse(path), {});
  const Fd socket = listener.release();
  Party party(at(word_of(socket)));
  CHECK(party.rendezvous.listens());
  const Fd client = client_of(path);
  CHECK(party.next().has_value());
}

TEST_CASE("the side that connects has one connection") {
  const TemporaryDirectory directory;
  const Listener listener = listen_on(Address::parse(directory.path("s")), {});
  Party party(at(directory.path("s")));
  CHECK_FALSE(party.rendezvous.listens());
  CHECK(party.next().has_value());
  CHECK_FALSE(party.next().has_value());
}

TEST_CASE("connecting to a socket that is not there fails at once, unless it is to wait") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("s");
  Party hasty(at(path));
  CHECK_THROWS_AS(hasty.next(), Unreachable);
  RendezvousOptions options = at(path);
  options.wait = true;
  options.timeout = kShort;
  Party patient(std::move(options));
  CHECK_THROWS_AS(patient.next(), TimedOut);
}

TEST_CASE("waiting for a client ends with a timeout at the deadline") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("s");
  RendezvousOptions options = at(path);
  options.listen = true;
  options.timeout = kShort;
  Party party(std::move(options));
  CHECK(thrown_by<TimedOut>([&] { party.next(); }).what() ==
        "no connection on " + path + ": timed out after 5ms");
}

TEST_CASE("a wait for a client that is stopped gives nothing, and so do later ones") {
  const TemporaryDirectory directory;
  RendezvousOptions options = at(directory.path("s"));
  options.listen = true;
  Party party(std::move(options));
  party.reactor.spawn([](Party& of) -> Task<void> {
    co_await of.reactor.yield();
    of.rendezvous.stop();
  }(party));
  CHECK_FALSE(party.next().has_value());
  CHECK_FALSE(party.next().has_value());
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "async/address_race.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "async/connect.hpp"
#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

SocketAddress address_of(const std::string& text) {
  return Address::parse(text).without_lookup().value();
}

Listener listen_at(const std::string& host, std::uint16_t port = 0) {
  return listen_on(Address::parse(host + ":" + std::to_string(port)));
}

std::uint16_t port_of(const Listener& listener) {
  return local_address(listener.fd()).port();
}

/// A host that drops packets: a listener whose backlog is full.
struct BlackHole {
  BlackHole(const std::string& host, std::uint16_t port)
      : listener(listen_on(Address::parse(host + ":" + std::to_string(port)), {.backlog = 0})) {
    const SocketAddress target = local_address(listener.fd());
    for (int i = 0; i < 5; ++i) {
      waiting.push_back(make_socket(target));
      (void)connect(waiting.back().get(), target.data(), target.size());
    }
  }
  Listener listener;
  std::vector<Fd> waiting;
};

/// A name service that knows one name.
Resolver resolver_of(const std::vector<std::string>& hosts) {
  return Resolver([hosts](const std::string&) {
    HostLookup found;
    for (const std::string& host : hosts) { found.addresses.push_back(address_of(host + ":0")); }
    return found;
  });
}

/// Longer than any limit: an address is only tried before that if the one before it has failed.
constexpr auto kLongDelay = std::chrono::hours(1);

DialedSocket connect_to_name(std::uint16_t port, Resolver& resolver,
                             TimeLimit limit = Clock::now() + seconds(10),
                             Duration attempt_delay = kLongDelay) {
  Reactor reactor;
  const Address address = Address::parse("name:" + std::to_string(port));
  return reactor.run_for_result(
      connect_to(reactor, address, limit, {.resolver = resolver, .attempt_delay = attempt_delay}));
}

bool has_client(const Listener& listener) {
  return try_accept(listener.fd()).outcome == Accepted::Outcome::connection;
}

TEST_CASE("an address that drops packets holds the next one up for the attempt delay only") {
  const test::DescriptorCheck check;
  const Listener server = listen_at("127.0.0.3");
  const BlackHole dead("127.0.0.2", port_of(server));
  Resolver resolver = resolver_of({"127.0.0.2", "127.0.0.3"});
  const TimePoint start = Clock::now();
  constexpr auto kDelay = milliseconds(20);
  const DialedSocket connection =
      connect_to_name(port_of(server), resolver, start + seconds(10), kDelay);
  CHECK(Clock::now() - start >= kDelay);
  CHECK(peer_address(connection.socket.get()).text() == server.text());
}

TEST_CASE("after an address that refuses, the next one is tried at once") {
  const test::DescriptorCheck check;
  const Listener server = listen_at("127.0.0.3");
  Resolver resolver = resolver_of({"127.0.0.2", "127.0.0.4", "127.0.0.3"});
  const DialedSocket connection = connect_to_name(port_of(server), resolver);
  CHECK(peer_address(connection.socket.get()).text() == server.text());
}

TEST_CASE("while the first address answers in time, no other is tried") {
  const test::DescriptorCheck check;
  const Listener first = listen_at("127.0.0.2");
  const Listener second = listen_at("127.0.0.3", port_of(first));
  Resolver resolver = resolver_of({"127.0.0.2", "127.0.0.3"});
  const DialedSocket connection = connect_to_name(port_of(first), resolver);
  CHECK(has_client(first));
  CHECK(!has_client(second));
}

TEST_CASE("IPv6 and IPv4 addresses take turns") {
  std::optional<Listener> server;
  try {
    server.emplace(listen_at("[::1]"));
  } catch (const SystemError&) {
    MESSAGE("no IPv6 here");
    return;
  }
  // The first refuses; if the third is not tried next, the second holds it up until the limit.
  const BlackHole second("127.0.0.3", port_of(*server));
  Resolver resolver = resolver_of({"127.0.0.2", "127.0.0.3", "[::1]"});
  const DialedSocket connection = connect_to_name(port_of(*server), resolver);
  CHECK(peer_address(connection.socket.get()).text() == server->text());
}

TEST_CASE("when no address can be connected to, each reason is said once") {
  const test::DescriptorCheck check;
  const std::uint16_t port = port_of(listen_at("127.0.0.2"));
  const std::string name = "cannot connect to name:" + std::to_string(port);
  Resolver refusing = resolver_of({"127.0.0.2", "127.0.0.3"});
  const auto refused =
      test::thrown_by<CannotConnect>([&] { (void)connect_to_name(port, refusing); });
  CHECK(refused.what() == name + ": Connection refused");
  CHECK(refused.failure().outlook == Outlook::may_change);

  const BlackHole dead("127.0.0.4", port);
  Resolver mixed = resolver_of({"127.0.0.2", "127.0.0.3", "127.0.0.4"});
  const auto timed_out = test::thrown_by<ConnectTimedOut>([&] {
    (void)connect_to_name(port, mixed, TimeLimit::after(Clock::now(), milliseconds(30)));
  });
  const std::string at = ":" + std::to_string(port);
  CHECK(timed_out.what() == name + " within 30ms: Connection refused (127.0.0.2" + at +
                                "), no answer (127.0.0.4" + at + ")");
}

TEST_CASE("a name that is not known can't be connected to, and may be known later") {
  Resolver resolver([](const std::string&) {
    return HostLookup{{}, ConnectFailure{0, "nobody knows it", Outlook::may_change}};
  });
  const auto error = test::thrown_by<CannotConnect>([&] { (void)connect_to_name(80, resolver); });
  CHECK(std::string(error.what()) ==
        "cannot connect to name:80: the lookup of name failed: nobody knows it");
  CHECK(error.failure().outlook == Outlook::may_change);
}

TEST_CASE("a race that is dropped closes all that it has begun") {
  const test::DescriptorCheck check;
  const BlackHole first("127.0.0.2", 0);
  const BlackHole second("127.0.0.3", port_of(first.listener));
  const std::vector<SocketAddress> targets = {local_address(first.listener.fd()),
                                              local_address(second.listener.fd())};
  Reactor reactor;
  const auto race = [&]() -> Task<void> {
    (void)co_await race_addresses(reactor, targets, SOCK_STREAM, kNever, milliseconds(1));
    FAIL("nothing can win");
  };
  const auto main = [&]() -> Task<void> {
    co_await reactor.sleep_until(Clock::now() + milliseconds(10));  // both are under way
  };
  reactor.spawn(race());
  reactor.run(main());
}

}  // namespace
}  // namespace handoff

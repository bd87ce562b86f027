// SPDX-License-Identifier: MIT
#include "worker/worker_listeners.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Waiting = WorkerListeners::Waiting;

/// A worker's listeners, and what they have accepted.
struct Listeners {
  AcceptorOwner owner() {
    AcceptorOwner owner;
    owner.accepted = [this](Connection connection) { accepted.push_back(std::move(connection)); };
    owner.has_room = [this] { return accepted.size() < room; };
    return owner;
  }
  template <typename Steps>
  void run(Steps steps) {
    reactor.run([](Listeners& self, Steps& of) -> Task<void> { co_await of(self); }(*this, steps));
  }
  Task<void> turns() {
    for (int i = 0; i < 10; ++i) { co_await reactor.sleep_until(Clock::now()); }
  }
  /// A client that waits in the backlog.
  static Fd connect(const SocketAddress& address) {
    Fd client(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(client.get(), address.data(), address.size()) == 0);
    return client;
  }
  static Fd connect(const Listener& listener) { return connect(local_address(listener.fd())); }
  static std::vector<Fd> copies_of(const std::vector<int>& numbers) {
    std::vector<Fd> copies;
    for (const int number : numbers) { copies.emplace_back(duplicate(number)); }
    return copies;
  }

  Reactor reactor;
  std::size_t room = 1000;
  std::vector<Connection> accepted;
  std::vector<std::string> lines;
  WorkerListeners listeners{reactor, owner(),
                            [this](Severity, std::string_view line) { lines.emplace_back(line); },
                            PeerJudge()};
};

const Address kAnyPort = Address::parse("127.0.0.1:0");

TEST_CASE("a worker listens on each of its addresses, and says where that is") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  Listeners listeners;
  listeners.run([&](Listeners& its) -> Task<void> {
    const std::string path = directory.path("s");
    const std::vector<std::string> bound =
        its.listeners.listen({kAnyPort, Address::parse(path)}, {});
    REQUIRE(bound.size() == 2);
    CHECK(bound[0].starts_with("127.0.0.1:"));
    CHECK(bound[1] == path);
    std::vector<Fd> clients;
    for (const std::string& text : bound) {
      clients.push_back(Listeners::connect(Address::parse(text).resolve().front()));
    }
    co_await its.turns();
    CHECK(its.accepted.size() == 2);
  });
  CHECK(listeners.lines.empty());
}

TEST_CASE("an address that is in use is an error") {
  Listeners listeners;
  const Listener other = listen_on(kAnyPort);
  CHECK_THROWS_AS(listeners.listeners.listen({Address::parse(other.text())}, {}), SystemError);
}

TEST_CASE("listeners that are passed take the place of those before") {
  const test::DescriptorCheck check;
  Listeners listeners;
  const Listener first = listen_on(kAnyPort);
  const Listener second = listen_on(kAnyPort, {.blocking = true});
  listeners.run([&](Listeners& its) -> Task<void> {
    its.listeners.replace(Listeners::copies_of({first.fd()}), Sharing::wake_one);
    const Fd early = Listeners::connect(first);
    co_await its.turns();
    CHECK(its.accepted.size() == 1);
    its.listeners.replace(Listeners::copies_of({second.fd()}), Sharing::wake_all);
    co_await its.turns();
    const Fd late = Listeners::connect(first);
    const Fd client = Listeners::connect(second);
    co_await its.turns();
    CHECK(its.accepted.size() == 2);
    CHECK(try_accept(first.fd()).outcome == Accepted::Outcome::connection);
    CHECK(test::is_nonblocking(second.fd()));
  });
}

TEST_CASE("clients that wait are accepted at the end, or left to another process") {
  for (const Waiting waiting : {Waiting::accept, Waiting::leave}) {
    Listeners listeners;
    const Listener listener = listen_on(kAnyPort);
    listeners.run([&](Listeners& its) -> Task<void> {
      its.listeners.replace(Listeners::copies_of({listener.fd()}), Sharing::wake_one);
      co_await its.turns();
      const Fd client = Listeners::connect(listener);
      its.listeners.close(waiting);
      CHECK(its.accepted.size() == (waiting == Waiting::accept ? 1 : 0));
      const Fd late = Listeners::connect(listener);
      co_await its.turns();
      CHECK(its.accepted.size() == (waiting == Waiting::accept ? 1 : 0));
    });
  }
}

TEST_CASE("a listener for which there was no room accepts again when there is") {
  Listeners listeners;
  const Listener listener = listen_on(kAnyPort);
  listeners.room = 1;
  listeners.run([&](Listeners& its) -> Task<void> {
    its.listeners.replace(Listeners::copies_of({listener.fd()}), Sharing::wake_one);
    const Fd first = Listeners::connect(listener);
    const Fd second = Listeners::connect(listener);
    co_await its.turns();
    CHECK(its.accepted.size() == 1);
    its.room = 2;
    its.listeners.resume();
    co_await its.turns();
    CHECK(its.accepted.size() == 2);
  });
}

}  // namespace
}  // namespace handoff

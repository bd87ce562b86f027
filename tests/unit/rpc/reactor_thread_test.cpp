// SPDX-License-Identifier: MIT
#include "rpc/reactor_thread.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A thread that has no methods, and what it tells of its connections.
struct Fixture {
  Fixture() : home(reactor), thread(home, {}, no_methods, {}, owner()) {}

  static MakeMethodTable no_methods(Reactor&) {
    return [] { return std::make_shared<const MethodTable>(); };
  }

  ReactorThread::Owner owner() {
    ReactorThread::Owner told;
    told.closed = [this](std::uint64_t id, CloseReason why) {
      closed.push_back(why == CloseReason::abandoned ? 0 : id);
    };
    told.returned = [this](Connection connection) { returned.push_back(connection.id); };
    return told;
  }

  /// The client's end.
  Fd open(std::uint64_t id) {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    Connection connection;
    connection.socket = std::move(ours);
    connection.id = id;
    thread.open(std::move(connection));
    return std::move(theirs);
  }

  /// Until the reactor thread has neither connection.
  void run() {
    reactor.run([](Fixture& self) -> Task<void> {
      while (self.thread.held() > 0) { co_await self.reactor.yield(); }
    }(*this));
  }

  /// On the reactor thread's thread.
  void wait_until_none_is_open() {
    std::size_t open = 1;
    while (open > 0) {
      std::promise<std::size_t> told;
      thread.post([&told](ServerContext& context) { told.set_value(context.open_connections()); });
      open = told.get_future().get();
    }
  }

  Reactor reactor;
  Mailbox home;
  std::vector<std::uint64_t> closed;
  std::vector<std::uint64_t> returned;
  ReactorThread thread;
};

/// The thread has seen its end, and answered.
void end(const Fd& client) {
  REQUIRE(shutdown(client.get(), SHUT_WR) == 0);
  std::array<char, 1> byte{};
  REQUIRE(test::becomes_readable(client.get()));
  REQUIRE(recv(client.get(), byte.data(), byte.size(), 0) == 0);
}

TEST_CASE("a reactor thread answers on the main thread, and not while its own is busy") {
  Fixture fixture;
  std::promise<void> released;
  fixture.thread.post([&](ServerContext&) { released.get_future().wait(); });
  bool answered = false;
  fixture.thread.when_it_answers([&] { answered = true; });
  fixture.reactor.run([](Fixture& self, std::promise<void>& release, bool& told) -> Task<void> {
    for (int i = 0; i < 20; ++i) { co_await self.reactor.yield(); }
    CHECK(!told);
    release.set_value();
    while (!told) { co_await self.reactor.yield(); }
  }(fixture, released, answered));
  CHECK(answered);
}

TEST_CASE("a connection that a client ends is told under its id") {
  Fixture fixture;
  const Fd client = fixture.open(7);
  CHECK(fixture.thread.held() == 1);
  end(client);
  fixture.run();
  CHECK(fixture.closed == std::vector<std::uint64_t>{7});
  CHECK(fixture.returned.empty());
}

TEST_CASE("a connection is returned when the reactor thread drains") {
  Fixture fixture;
  const Fd client = fixture.open(7);
  fixture.thread.post([](ServerContext& context) { context.drain(WhenDrained::give_back); });
  fixture.run();
  CHECK(fixture.closed.empty());
  CHECK(fixture.returned == std::vector<std::uint64_t>{7});
}

TEST_CASE(
    "what was told before a reactor thread abandons its connections comes without their ids") {
  Fixture fixture;
  const Fd ended = fixture.open(7);
  const Fd open = fixture.open(8);
  end(ended);  // nobody has heard of it yet
  fixture.thread.abandon();
  end(open);
  fixture.run();
  CHECK(fixture.closed == std::vector<std::uint64_t>{0, 0});
  CHECK(fixture.returned.empty());
}

TEST_CASE("what was returned before a reactor thread abandons its connections is closed") {
  Fixture fixture;
  const Fd client = fixture.open(7);
  fixture.thread.post([](ServerContext& context) { context.drain(WhenDrained::give_back); });
  fixture.wait_until_none_is_open();  // nobody has heard of it yet
  fixture.thread.abandon();
  fixture.run();
  end(client);
  CHECK(fixture.closed == std::vector<std::uint64_t>{0});
  CHECK(fixture.returned.empty());
}

TEST_CASE("what comes after a reactor thread has abandoned others is told again") {
  Fixture fixture;
  fixture.thread.abandon();
  const Fd client = fixture.open(7);
  end(client);
  fixture.run();
  CHECK(fixture.closed == std::vector<std::uint64_t>{7});
}

TEST_CASE("the end of a reactor thread cuts off what it serves") {
  Fd client;
  {
    Fixture fixture;
    client = fixture.open(7);
  }
  REQUIRE(test::becomes_readable(client.get()));
  std::array<char, 1> byte{};
  CHECK(recv(client.get(), byte.data(), byte.size(), 0) <= 0);
}

}  // namespace
}  // namespace handoff

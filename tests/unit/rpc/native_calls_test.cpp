// SPDX-License-Identifier: MIT
// A session's calls of handlers in C++: how each of them ends.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/async/condition.hpp>
#include <handoff/os/address.hpp>
#include <handoff/wire/json_text.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "rpc/session.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

SessionLimits limits(Duration timeout) {
  SessionLimits limits;
  limits.call_timeout = timeout;
  return limits;
}

/// Both ends of a connection on loopback: a reset is only seen on TCP.
std::pair<Fd, Fd> make_tcp_pair() {
  const Listener listener = listen_on(Address::parse("127.0.0.1:0"), {});
  SocketAddress name = local_address(listener.fd());
  Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(connect(client.get(), name.data(), name.size()) == 0);
  Fd server(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(server.valid());
  return {std::move(server), std::move(client)};
}

/// A session with a client, whose methods wait until `go` is set.
struct Fixture {
  explicit Fixture(Duration timeout = std::chrono::hours(1))
      : changed(reactor),
        context(reactor, methods(), limits(timeout),
                {.closed = [this](std::uint64_t, CloseReason) { changed.notify_all(); }}) {}

  std::shared_ptr<const MethodTable> methods() {
    auto table = std::make_shared<MethodTable>();
    table->add("native", [this](const Call&) { return wait(); });
    table->add(
        "kept", [this](const Call&) { return wait(); }, Supervision::handler);
    table->add("forged", [](Call call) -> Task<Result> {
      co_return Result::success(json_string(call.params).value());
    });
    table->add_instant("echo", [](const Request& request) { return request.params; });
    return table;
  }

  Task<Result> wait() {
    struct Frame {
      explicit Frame(int& frames) : count(++frames) {}
      ~Frame() { --count; }
      Frame(const Frame&) = delete;
      Frame& operator=(const Frame&) = delete;
      int& count;
    };
    const Frame frame(running);
    ++begun;
    changed.notify_all();
    co_await changed.wait_until([this] { return go; });
    ++finished;
    co_return Result::success("7");
  }

  void open(std::pair<Fd, Fd> ends) {
    client = std::move(ends.second);
    Session::open(context, {.socket = std::move(ends.first)});
  }
  void open_unix() { open(make_socket_pair(SOCK_STREAM)); }

  void send(std::string_view lines) { test::write_text(client.get(), lines); }

  /// What the client reads next.
  Task<std::string> reply() {
    std::array<char, 4096> buffer{};
    ssize_t size = -1;
    while ((size = recv(client.get(), buffer.data(), buffer.size(), MSG_DONTWAIT)) < 0) {
      co_await reactor.yield();
    }
    co_return std::string(buffer.data(), static_cast<std::size_t>(size));
  }

  Task<void> until_begun(int calls) {
    co_await changed.wait_until([this, calls] { return begun >= calls; });
  }
  Task<void> until_closed() {
    co_await changed.wait_until([this] { return context.open_connections() == 0; });
  }
  void set_go() {
    go = true;
    changed.notify_all();
  }

  Reactor reactor;
  Condition changed;
  bool go = false;
  int running = 0;
  int begun = 0;
  int finished = 0;
  ServerContext context;
  Fd client;
};

TEST_CASE("a handler that is done in time answers") {
  Fixture fixture;
  fixture.open_unix();
  fixture.send("{\"in\":\"native\"}\n");
  fixture.reactor.run([](Fixture& self) -> Task<void> {
    co_await self.until_begun(1);
    self.set_go();
    CHECK(co_await self.reply() == "{\"out\":\"native\",\"result\":7}\n");
  }(fixture));
  CHECK(fixture.finished == 1);
}

TEST_CASE("a handler that is not done at its deadline is destroyed, and the connection goes on") {
  Fixture fixture(milliseconds(1));
  fixture.open_unix();
  fixture.send("{\"in\":\"native\"}\n");
  fixture.reactor.run([](Fixture& self) -> Task<void> {
    CHECK(co_await self.reply() ==
          "{\"out\":\"error\",\"result\":{\"code\":-32002,"
          "\"message\":\"the method did not answer in time\"}}\n");
    CHECK(self.running == 0);
    self.send("{\"in\":\"echo\",\"params\":1}\n");
    CHECK(co_await self.reply() == "{\"out\":\"echo\",\"result\":1}\n");
  }(fixture));
  CHECK(fixture.finished == 0);
}

TEST_CASE("the handlers of a client that closes its Unix socket are destroyed") {
  Fixture fixture;
  fixture.open_unix();
  SUBCASE("while it is read from") {
    fixture.send("{\"in\":\"native\"}\n{\"in\":\"native\"}\n");
  }
  SUBCASE("after it has ended its sending side") {
    fixture.send("{\"in\":\"native\"}\n{\"in\":\"native\"}\n");
    REQUIRE(shutdown(fixture.client.get(), SHUT_WR) == 0);
  }
  SUBCASE("in a batch") {
    fixture.send(R"([{"jsonrpc":"2.0","method":"native","id":1},)"
                 R"({"jsonrpc":"2.0","method":"native","id":2}])"
                 "\n");
  }
  fixture.reactor.run([](Fixture& self) -> Task<void> {
    co_await self.until_begun(2);
    for (int i = 0; i < 5; ++i) { co_await self.reactor.yield(); }
    CHECK(self.running == 2);
    self.client.reset();
    co_await self.until_closed();
  }(fixture));
  CHECK(fixture.running == 0);
  CHECK(fixture.finished == 0);
  CHECK(fixture.context.active_calls() == 0);
}

TEST_CASE("the handlers of a client that resets its connection are destroyed") {
  Fixture fixture;
  fixture.open(make_tcp_pair());
  bool ends_sending = false;
  SUBCASE("while it is read from") {}
  SUBCASE("after it has ended its sending side") {
    ends_sending = true;
  }
  fixture.send("{\"in\":\"native\"}\n");
  fixture.reactor.run([](Fixture& self, bool half_closed) -> Task<void> {
    co_await self.until_begun(1);
    if (half_closed) {
      REQUIRE(shutdown(self.client.get(), SHUT_WR) == 0);
      for (int i = 0; i < 5; ++i) { co_await self.reactor.yield(); }
      CHECK(self.running == 1);
    }
    const linger at_once{1, 0};
    REQUIRE(setsockopt(self.client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    self.client.reset();
    co_await self.until_closed();
  }(fixture, ends_sending));
  CHECK(fixture.running == 0);
  CHECK(fixture.finished == 0);
}

TEST_CASE("a client that has only ended its sending side gets its replies") {
  Fixture fixture;
  fixture.open_unix();
  fixture.send("{\"in\":\"native\"}\n");
  REQUIRE(shutdown(fixture.client.get(), SHUT_WR) == 0);
  fixture.reactor.run([](Fixture& self) -> Task<void> {
    co_await self.until_begun(1);
    for (int i = 0; i < 5; ++i) { co_await self.reactor.yield(); }
    CHECK(self.running == 1);
    self.set_go();
    CHECK(co_await self.reply() == "{\"out\":\"native\",\"result\":7}\n");
    co_await self.until_closed();
  }(fixture));
}

TEST_CASE("a handler that looks after itself goes on without its client") {
  Fixture fixture(milliseconds(1));
  fixture.open_unix();
  fixture.send("{\"in\":\"kept\"}\n");
  fixture.reactor.run([](Fixture& self) -> Task<void> {
    co_await self.until_begun(1);
    self.client.reset();
    const TimePoint deadline = self.reactor.now() + milliseconds(2);
    co_await self.reactor.sleep_until(deadline);
    CHECK(self.running == 1);
    CHECK(self.context.open_connections() == 1);
    self.set_go();
    co_await self.until_closed();
  }(fixture));
  CHECK(fixture.finished == 1);
}

TEST_CASE("the handler of a notification goes on without its client") {
  Fixture fixture;
  fixture.open_unix();
  fixture.send("{\"jsonrpc\":\"2.0\",\"method\":\"native\"}\n");
  fixture.reactor.run([](Fixture& self) -> Task<void> {
    co_await self.until_begun(1);
    self.client.reset();
    for (int i = 0; i < 10; ++i) { co_await self.reactor.yield(); }
    CHECK(self.running == 1);
    self.set_go();
    co_await self.until_closed();
  }(fixture));
  CHECK(fixture.finished == 1);
}

TEST_CASE("a call that waits for its turn when its client leaves never begins") {
  Fixture fixture;
  fixture.context.places().try_acquire();
  while (fixture.context.places().try_acquire()) {}
  fixture.open_unix();
  fixture.send("{\"in\":\"native\"}\n");
  fixture.reactor.run([](Fixture& self) -> Task<void> {
    while (self.context.active_calls() == 0) { co_await self.reactor.yield(); }
    self.client.reset();
    co_await self.until_closed();
  }(fixture));
  CHECK(fixture.begun == 0);
  CHECK(fixture.context.active_calls() == 0);
}

TEST_CASE("calls that run when the loop ends are destroyed, whichever comes first") {
  Fixture fixture;
  fixture.open_unix();
  fixture.send("{\"in\":\"native\"}\n{\"in\":\"kept\"}\n");
  fixture.reactor.run(fixture.until_begun(2));
  CHECK(fixture.running == 0);
  CHECK(fixture.finished == 0);
}

TEST_CASE("a result that is no JSON can't pass for another reply") {
  Fixture fixture;
  fixture.open_unix();
  fixture.send(R"({"in":"forged","params":"1}\n{\"out\":\"echo\",\"result\":2,\"id\":5","id":4})"
               "\n");
  fixture.reactor.run([](Fixture& self) -> Task<void> {
    const std::string reply = co_await self.reply();
    CHECK(reply.find("\"code\":-32001") != std::string::npos);
    CHECK(reply.find("\"id\":4") != std::string::npos);
    CHECK(reply.find("\"id\":5") == std::string::npos);
    CHECK(reply.find('\n') == reply.size() - 1);
  }(fixture));
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "master/status_endpoint.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/os/address.hpp>

#include "async/connect.hpp"
#include "async/time_limit.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

struct Fixture {
  void open(const std::string& where, Duration timeout = limits::kStatusTimeout) {
    StatusSource source;
    source.is_ready = [this] { return is_ready; };
    source.snapshot = [this] { return snapshot(); };
    Listener listener = listen_on(Address::parse(where));
    address = Address::parse(listener.text());
    endpoint.emplace(
        reactor, std::move(listener), std::move(source), [](Severity, std::string_view) {},
        PeerJudge(), timeout);
    endpoint->open();
  }
  Task<MasterStatus> snapshot() {
    co_await reactor.yield();
    MasterStatus status;
    status.pass = "connection";
    ++snapshots;
    co_return status;
  }
  static Task<std::string> read_all(Stream& from) {
    std::string text;
    std::array<char, 4096> buffer;
    for (;;) {
      const IoResult result = co_await from.read_some(buffer);
      if (!result.done()) { co_return text; }
      text.append(buffer.data(), result.size);
    }
  }
  /// Sends a text and returns the whole reply.
  Task<std::string> ask(std::string text) {
    DialedSocket client = co_await connect_to(reactor, address, TimeLimit());
    Stream stream(reactor, std::move(client.socket), Stream::Kind::socket);
    co_await stream.write_all(text);
    std::string reply = co_await read_all(stream);
    co_return reply;
  }
  static int status_of(const std::string& reply) {
    REQUIRE(reply.starts_with("HTTP/1.1 "));
    return std::stoi(reply.substr(9, 3));
  }

  test::TemporaryDirectory folder;
  Reactor reactor;
  Address address;
  bool is_ready = true;
  int snapshots = 0;
  std::optional<StatusEndpoint> endpoint;
};

bool ends_with_body(const std::string& reply, std::string_view body) {
  return reply.ends_with("\r\n\r\n" + std::string(body));
}

TEST_CASE_FIXTURE(Fixture, "the pages of a master are shown") {
  open("127.0.0.1:0");
  const auto main = [&]() -> Task<void> {
    const std::string live = co_await ask("GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    CHECK(live.starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(ends_with_body(live, "live\n"));
    const std::string metrics = co_await ask("GET /metrics HTTP/1.0\r\n\r\n");
    CHECK(metrics.find("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n") !=
          std::string::npos);
    CHECK(metrics.find("\n# TYPE handoff_") != std::string::npos);
    const std::string status = co_await ask("GET /status?x HTTP/1.0\r\n\r\n");
    CHECK(status.find("\r\nContent-Type: application/json\r\n") != std::string::npos);
    CHECK(status.find("\"pass\":\"connection\"") != std::string::npos);
    CHECK(snapshots == 2);
    CHECK(status_of(co_await ask("GET /other HTTP/1.0\r\n\r\n")) == 404);
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "the page of readiness follows the master") {
  open(folder.path("socket"));
  const auto main = [&]() -> Task<void> {
    const std::string request = "GET /ready HTTP/1.1\r\nHost: any\r\n\r\n";
    const std::string ready = co_await ask(request);
    CHECK(status_of(ready) == 200);
    CHECK(ends_with_body(ready, "ready\n"));
    is_ready = false;
    const std::string not_ready = co_await ask(request);
    CHECK(status_of(not_ready) == 503);
    CHECK(ends_with_body(not_ready, "not ready\n"));
    CHECK(snapshots == 0);
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "a reply to HEAD has no body, and other methods are not allowed") {
  open("127.0.0.1:0");
  const auto main = [&]() -> Task<void> {
    const std::string head = co_await ask("HEAD /live HTTP/1.0\r\n\r\n");
    CHECK(status_of(head) == 200);
    CHECK(head.find("\r\nContent-Length: 5\r\n") != std::string::npos);
    CHECK(ends_with_body(head, ""));
    for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "get", "TRACE"}) {
      const std::string refused = co_await ask(std::string(method) + " /live HTTP/1.0\r\n\r\n");
      CHECK(status_of(refused) == 405);
      CHECK(refused.find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
    }
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "no page is shown to a browser that was led to it by another name") {
  open("127.0.0.1:0");
  const auto main = [&]() -> Task<void> {
    CHECK(status_of(co_await ask("GET /status HTTP/1.1\r\nHost: example.com\r\n\r\n")) == 421);
    CHECK(status_of(co_await ask("GET /status HTTP/1.1\r\nHost: LOCALHOST:1\r\n\r\n")) == 200);
    CHECK(snapshots == 1);
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "what is no request gets an answer that says so") {
  open("127.0.0.1:0");
  const auto main = [&]() -> Task<void> {
    CHECK(status_of(co_await ask("hello\n")) == 400);
    CHECK(status_of(co_await ask("GET / HTTP/3.0\r\n\r\n")) == 505);
    const std::string too_long(limits::kMaxStatusRequest + 5000, 'x');
    CHECK(status_of(co_await ask(too_long)) == 431);
    CHECK(status_of(co_await ask("GET / HTTP/1.0\r\nContent-Length: 9\r\n\r\n" +
                                 std::string(9, 'x'))) == 400);
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "a request that takes too long is answered and ends") {
  open("127.0.0.1:0", std::chrono::milliseconds(1));
  const auto main = [&]() -> Task<void> {
    CHECK(status_of(co_await ask("GET /live HTTP/1.0\r\n")) == 408);
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "a connection beyond the most is closed at once") {
  open(folder.path("socket"));
  const auto main = [&]() -> Task<void> {
    std::vector<DialedSocket> silent;
    for (std::size_t i = 0; i < limits::kMaxStatusConnections; ++i) {
      DialedSocket client = co_await connect_to(reactor, address, TimeLimit());
      silent.push_back(std::move(client));
    }
    DialedSocket one_more = co_await connect_to(reactor, address, TimeLimit());
    Stream stream(reactor, std::move(one_more.socket), Stream::Kind::socket);
    CHECK((co_await read_all(stream)).empty());
    silent.pop_back();
    std::string reply;
    while (reply.empty()) { reply = co_await ask("GET /live HTTP/1.0\r\n\r\n"); }
    CHECK(status_of(reply) == 200);
  };
  reactor.run(main());
}

TEST_CASE_FIXTURE(Fixture, "an endpoint that finishes waits for the replies under way") {
  open(folder.path("socket"));
  const auto main = [&]() -> Task<void> {
    DialedSocket client = co_await connect_to(reactor, address, TimeLimit());
    Stream stream(reactor, std::move(client.socket), Stream::Kind::socket);
    co_await reactor.sleep_until(Clock::now());
    co_await reactor.sleep_until(Clock::now());
    const std::string request = "GET /status HTTP/1.0\r\n\r\n";
    co_await stream.write_all(request);
    stream.end_writing();
    co_await endpoint->finish(std::chrono::seconds(10));
    CHECK(status_of(co_await read_all(stream)) == 200);
  };
  reactor.run(main());
}

}  // namespace
}  // namespace handoff

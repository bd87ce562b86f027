// SPDX-License-Identifier: MIT
#include "methods/upstream_pool.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/played_server.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using test::PlayedServer;
using Bodies = std::vector<std::string>;

/// A call that the test makes, without a deadline.
class PoolCall final : public PendingCall {
 public:
  explicit PoolCall(UpstreamPool& pool) : pool_(pool) {
    set_view({"m", "1", {}, {}, kNever});
    pool_.begin(*this);
  }
  ~PoolCall() {
    if (!result) { pool_.cancel(*this); }
  }
  PoolCall(const PoolCall&) = delete;
  PoolCall& operator=(const PoolCall&) = delete;

  void finish(const ResultView& answer) override {
    REQUIRE(!result);
    result = {std::string(answer.json), answer.code, std::string(answer.message)};
  }

  std::optional<Result> result;

 private:
  UpstreamPool& pool_;
};

/// The id that stands in a request.
std::string id_of(const std::string& request) {
  const auto start = request.find("\"id\":") + 5;
  return request.substr(start, request.size() - start - 1);
}

/// A server that replies with this result; `adds` is added to each reply.
PlayedServer::Answer answers(std::string result, std::string adds) {
  return [result = std::move(result), adds = std::move(adds)](const std::string& request) {
    return Bodies{R"({"out":"m","result":)" + result + R"(,"id":)" + id_of(request) + adds + "}"};
  };
}

/// A server that takes requests, and never replies.
Bodies stay_silent(const std::string&) {
  return {};
}

/// A server that does not reply to its first request.
PlayedServer::Answer answers_from_the_second_on(std::string result) {
  const auto count = std::make_shared<int>(0);
  return [count, answer = answers(std::move(result), "")](const std::string& request) {
    return ++*count == 1 ? PlayedServer::Bodies(Bodies()) : answer(request);
  };
}

/// Two servers, whose results are their numbers.
struct Servers {
  explicit Servers(std::string first_adds = "", std::string second_adds = "")
      : first(reactor, answers("1", std::move(first_adds))),
        second(reactor, answers("2", std::move(second_adds))) {}

  /// Makes so many calls, one after the other, and returns their results.
  std::string call(UpstreamPool& pool, int count) {
    std::string results;
    reactor.run([](Servers& self, UpstreamPool& to, int calls, std::string& text) -> Task<void> {
      self.start();
      for (int i = 0; i < calls; ++i) {
        const PoolCall call(to);
        while (!call.result) { co_await self.reactor.yield(); }
        text += call.result->is_error() ? std::to_string(static_cast<int>(call.result->code)) + " "
                                        : call.result->json;
      }
    }(*this, pool, count, results));
    return results;
  }
  void start() {
    reactor.spawn(first.run());
    reactor.spawn(second.run());
  }
  std::string addresses() const { return first.address() + "," + second.address(); }

  Reactor reactor;
  PlayedServer first;
  PlayedServer second;
};

UpstreamOptions with_long_pauses() {
  UpstreamOptions options;
  options.first_pause = options.last_pause = std::chrono::hours(1);
  return options;
}

TEST_CASE("calls take turns at the servers of a pool") {
  Servers servers;
  UpstreamPool pool(servers.reactor, AddressList::parse(servers.addresses()));
  CHECK(servers.call(pool, 4) == "1212");
}

TEST_CASE("a call goes to the server that has the fewest") {
  Servers servers;
  UpstreamPool pool(servers.reactor, AddressList::parse(servers.addresses()));
  std::deque<PoolCall> calls;
  for (int i = 0; i < 6; ++i) { calls.emplace_back(pool); }
  servers.reactor.run([](Servers& self, std::deque<PoolCall>& all) -> Task<void> {
    self.start();
    for (const PoolCall& call : all) {
      while (!call.result) { co_await self.reactor.yield(); }
    }
  }(servers, calls));
  CHECK(servers.first.requests().size() == 3);
  CHECK(servers.second.requests().size() == 3);
}

TEST_CASE("a server that can't be connected to costs no call, and is left out for a while") {
  Servers servers;
  const AddressList one_of_two = AddressList::parse("./no-such-socket," + servers.second.address());
  UpstreamPool pool(servers.reactor, one_of_two, with_long_pauses());
  CHECK(servers.call(pool, 4) == "2222");
}

TEST_CASE("calls fail while no server of a pool can be connected to") {
  Servers servers;
  UpstreamPool pool(servers.reactor, AddressList::parse("./no-such-socket,./nor-this"),
                    with_long_pauses());
  CHECK(servers.call(pool, 2) == "-32006 -32006 ");
}

TEST_CASE("a call finds the one server that is back, also when all had failed before") {
  Servers servers;
  UpstreamOptions options;
  options.first_pause = options.last_pause = std::chrono::microseconds(1);
  const std::string socket = "./pool_test.sock";
  UpstreamPool pool(servers.reactor, AddressList::parse("./no-such-socket," + socket), options);
  CHECK(servers.call(pool, 1) == "-32006 ");
  const Listener back = listen_on(Address::parse(socket));
  const PoolCall call(pool);
  servers.reactor.run([](Servers& self, const Listener& listener) -> Task<void> {
    while (try_accept(listener.fd()).outcome != Accepted::Outcome::connection) {
      co_await self.reactor.yield();
    }
  }(servers, back));
  CHECK_FALSE(call.result);
}

TEST_CASE("a server that shuts down is left out for a while, and loses no call") {
  Servers servers(R"(,"last":true)");
  UpstreamPool pool(servers.reactor, AddressList::parse(servers.addresses()), with_long_pauses());
  CHECK(servers.call(pool, 5) == "12222");
}

/// The first call, and those that a pool takes to a silent server, have their deadline passed.
Task<void> call_with_silent_server(Reactor& reactor, UpstreamPool& pool, PlayedServer& silent,
                                   std::string& results) {
  for (int i = 0; i < 4; ++i) {
    PoolCall call(pool);
    const std::size_t before = silent.requests().size();
    while (!call.result && silent.requests().size() == before) { co_await reactor.yield(); }
    if (!call.result) { pool.time_out(call); }
    results += call.result->is_error() ? "-" : call.result->json;
  }
}

TEST_CASE("a server that lets a deadline pass in silence is left out for a while") {
  Reactor reactor;
  PlayedServer silent(reactor, stay_silent);
  PlayedServer other(reactor, answers("2", ""));
  UpstreamPool pool(reactor, AddressList::parse(silent.address() + "," + other.address()),
                    with_long_pauses());
  reactor.spawn(silent.run());
  reactor.spawn(other.run());
  std::string results;
  reactor.run(call_with_silent_server(reactor, pool, silent, results));
  CHECK(results == "-222");
}

/// Makes calls until each server has replied, after the first call of each had no reply.
Task<void> call_until_both_reply(Reactor& reactor, UpstreamPool& pool, std::string& results) {
  for (int i = 0; i < 2; ++i) {
    PoolCall call(pool);
    for (int turn = 0; turn < 20; ++turn) { co_await reactor.yield(); }
    pool.time_out(call);
  }
  while (results.find('1') == std::string::npos || results.find('2') == std::string::npos) {
    PoolCall call(pool);
    while (!call.result) { co_await reactor.yield(); }
    results += call.result->json;
  }
}

TEST_CASE("servers that have all fallen silent get calls, and are up again with a new connection") {
  Reactor reactor;
  PlayedServer first(reactor, answers_from_the_second_on("1"));
  PlayedServer second(reactor, answers_from_the_second_on("2"));
  UpstreamOptions options;
  options.first_pause = options.last_pause = std::chrono::milliseconds(1);
  UpstreamPool pool(reactor, AddressList::parse(first.address() + "," + second.address()), options);
  reactor.spawn(first.run());
  reactor.spawn(second.run());
  std::string results;
  reactor.run(call_until_both_reply(reactor, pool, results));
  CHECK(first.connections() == 2);
}

TEST_CASE("servers that all shut down are asked all the same") {
  Servers servers(R"(,"last":true)", R"(,"last":true)");
  UpstreamPool pool(servers.reactor, AddressList::parse(servers.addresses()), with_long_pauses());
  CHECK(servers.call(pool, 4).size() == 4);
}

TEST_CASE("a pool of one server is that server") {
  Servers servers;
  UpstreamPool pool(servers.reactor, AddressList::parse(servers.first.address()));
  CHECK(servers.call(pool, 3) == "111");
}

TEST_CASE("a pool that is destroyed ends its calls, and offers them to nobody") {
  Servers servers;
  auto pool =
      std::make_unique<UpstreamPool>(servers.reactor, AddressList::parse(servers.addresses()));
  PoolCall first(*pool);
  PoolCall second(*pool);
  pool.reset();
  CHECK(first.result->is_error());
  CHECK(second.result->is_error());
}

}  // namespace
}  // namespace handoff

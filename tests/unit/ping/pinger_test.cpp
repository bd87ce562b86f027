// SPDX-License-Identifier: MIT
#include "ping/pinger.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/os/error.hpp>

#include "os/socket.hpp"
#include "unit/ping/fake_peer.hpp"
#include "unit/support.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {

// Not in the header: clang 14 with its function sanitizer can't compile inline coroutines.

Task<void> test::PingServer::run() {
  FdWatcher watcher(reactor_, listener_.fd());
  for (;;) {
    Accepted accepted = try_accept(listener_.fd());
    if (accepted.outcome == Accepted::Outcome::connection) {
      ++connections_;
      reactor_.spawn(serve(*this, std::move(accepted.fd)));
    } else {
      co_await watcher.readable();
    }
  }
}

Task<void> test::PingServer::serve(PingServer& server, Fd socket) {
  Stream stream(server.reactor_, std::move(socket));
  ReceiveBuffer input(4096);
  RequestParser parser;
  for (;;) {
    input.make_room();
    const IoResult result = co_await stream.read_some(input.room());
    if (!result.done()) { co_return; }
    input.commit(result.size);
    if (!server.take_requests(stream, input, parser)) { co_return; }
  }
}

namespace {

using namespace std::chrono_literals;
using test::PingServer;
using test::PingTest;
using Pace = PingOptions::Pace;
using Verdict = PingResult::Verdict;

TEST_CASE_FIXTURE(PingTest, "every probe is answered, in order, at every pace") {
  PingOptions wanted = options(5);
  SUBCASE("interval") {
    wanted.pace = Pace::interval;
  }
  SUBCASE("adaptive") {}
  SUBCASE("flood") {
    wanted.pace = Pace::flood;
  }
  SUBCASE("rate") {
    wanted.pace = Pace::rate;
    wanted.rate = 1000;
  }
  const PingResult& result = run(wanted);
  CHECK(result.verdict == Verdict::answered);
  CHECK(result.statistics.sent() == 5);
  CHECK(result.statistics.received() == 5);
  CHECK(result.peer == server.address());
  CHECK(result.over_tcp);
  REQUIRE(recorder.pongs.size() == 5);
  for (std::uint64_t i = 0; i < 5; ++i) { CHECK(recorder.pongs[i].first == i + 1); }
  CHECK(recorder.starts == 1);
  CHECK(recorder.lost.empty());
  CHECK(recorder.troubles.empty());
  CHECK(server.connections() == 1);
}

TEST_CASE_FIXTURE(PingTest, "probes of every size are echoed") {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{17}, std::size_t{60000}}) {
    PingOptions wanted = options(12);
    wanted.size = size;
    server.set_answer([size](PingServer& peer, const std::string& params, int number) {
      CHECK(params.size() == size + 2);
      return PingServer::pong(peer, params, number);
    });
    CHECK(run(wanted).statistics.received() == 12);
  }
}

TEST_CASE_FIXTURE(PingTest, "a reply that writes the same string in another way is good") {
  PingOptions wanted = options(1);
  wanted.size = 1;
  server.set_answer([](PingServer& peer, const std::string& params, int) {
    CHECK(params == "\"1\"");
    peer.reply(R"("pong")", R"("\u0031")");
    return true;
  });
  CHECK(run(wanted).statistics.received() == 1);
}

TEST_CASE_FIXTURE(PingTest, "a connection for each probe") {
  PingOptions wanted = options(6);
  wanted.reconnect = true;
  SUBCASE("one after the other") {}
  SUBCASE("several at a time") {
    wanted.connections = 3;
  }
  SUBCASE("at a rate") {
    wanted.pace = Pace::rate;
    wanted.rate = 1000;
  }
  CHECK(run(wanted).statistics.received() == 6);
  CHECK(server.connections() == 7);  // the first looks whether anybody is there
}

TEST_CASE_FIXTURE(PingTest, "a stopped pinger takes the replies that come at once") {
  recorder.when_pong = [this] {
    if (recorder.pongs.size() == 100) { pinger->stop(); }
  };
  PingOptions wanted = options(0, Pace::flood);
  wanted.in_flight = 16;
  const PingResult& result = run(wanted);
  CHECK(result.verdict == Verdict::answered);
  CHECK(result.statistics.received() == result.statistics.sent());
}

TEST_CASE_FIXTURE(PingTest, "a stopped pinger does not wait for a server that is silent") {
  server.set_answer([](PingServer&, const std::string&, int) { return true; });
  recorder.when_lost = [this] { pinger->stop(); };
  PingOptions wanted = options(0, Pace::interval);
  wanted.reply_timeout = 10ms;
  const PingResult& result = run(wanted);
  CHECK(result.verdict == Verdict::no_reply);
  CHECK(result.statistics.sent() > 0);
}

TEST_CASE_FIXTURE(PingTest, "SIGQUIT asks for the status, SIGINT stops") {
  const SignalMask signals{SIGINT, SIGQUIT};
  recorder.when_pong = [this] {
    if (recorder.pongs.size() == 1) { raise(SIGQUIT); }
    if (recorder.pongs.size() == 3) { raise(SIGINT); }
  };
  std::vector<Address> addresses{Address::parse(server.address())};
  Pinger signalled(reactor, options(0), addresses, recorder);
  reactor.spawn(server.run());
  reactor.spawn(signalled.obey(signals));
  reactor.run(signalled.run());
  CHECK(recorder.status_requests == 1);
  CHECK(signalled.results().front()->verdict == Verdict::answered);
}

TEST_CASE("options out of range are refused") {
  const std::vector<Address> addresses{Address::parse(":8080")};
  PingOptions options;
  CHECK_NOTHROW(options.check(addresses));
  CHECK_THROWS_AS(options.check({}), InvalidArgument);
  SUBCASE("a size that fits in no frame") {
    options.size = 1024 * 1024;
  }
  SUBCASE("no connection") {
    options.connections = 0;
  }
  SUBCASE("too much under way") {
    options.in_flight = 65537;
  }
  SUBCASE("no rate") {
    options.pace = Pace::rate;
  }
  SUBCASE("many under way on a connection of one probe") {
    options.reconnect = true;
    options.in_flight = 2;
  }
  CHECK_THROWS_AS(options.check(addresses), InvalidArgument);
}

}  // namespace
}  // namespace handoff

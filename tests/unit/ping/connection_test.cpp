// SPDX-License-Identifier: MIT
// What a connection makes of a server that does not answer as it should.
#include "ping/connection.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "unit/ping/fake_peer.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using namespace std::chrono_literals;
using test::PingServer;
using test::PingTest;
using Pace = PingOptions::Pace;
using Verdict = PingResult::Verdict;

TEST_CASE_FIXTURE(PingTest, "a late reply is not taken for that of the next probe") {
  PingOptions wanted = options(2);
  wanted.reply_timeout = 200ms;
  std::string held;
  server.set_answer([&held](PingServer& peer, const std::string& params, int number) {
    if (number == 0) {
      held = params;
      return true;
    }
    peer.reply(R"("pong")", held);
    return PingServer::pong(peer, params, number);
  });
  const PingResult& result = run(wanted);
  CHECK(result.statistics.sent() == 2);
  CHECK(result.statistics.received() == 1);
  CHECK(result.statistics.late() == 1);
  CHECK(recorder.lost.size() == 1);
  CHECK(recorder.lost.front().first == 1);
  CHECK(recorder.late == std::vector<std::uint64_t>{1});
  CHECK(recorder.pongs.front().first == 2);
}

TEST_CASE_FIXTURE(PingTest, "a reply that never comes does not shift those that do") {
  server.set_answer([](PingServer& peer, const std::string& params, int number) {
    return number == 1 || PingServer::pong(peer, params, number);
  });
  PingOptions wanted = options(5);
  SUBCASE("before its time is over") {
    wanted.pace = Pace::interval;
  }
  SUBCASE("after that") {
    wanted.reply_timeout = 200ms;
  }
  run(wanted);
  REQUIRE(recorder.lost.size() == 1);
  CHECK(recorder.lost.front().first == 2);
  REQUIRE(recorder.pongs.size() == 4);
  CHECK(recorder.pongs.back().first == 5);
  CHECK(recorder.late.empty());
}

TEST_CASE_FIXTURE(PingTest, "what is no pong with the params that were sent is an error and lost") {
  std::string problem;
  std::string name = R"("pong")";
  std::string body = R"("something else")";
  SUBCASE("another result") {
    problem = "the result is not the params that were sent";
  }
  SUBCASE("another type") {
    body = "5";
    problem = "the result is not the params that were sent";
  }
  SUBCASE("another name") {
    name = R"("echo")";
    problem = "the reply is 'echo' and not 'pong'";
  }
  SUBCASE("an error reply") {
    name = R"("error")";
    body = R"({"code":-32003,"message":"busy"})";
    problem = "busy (code -32003)";
  }
  server.set_answer([&](PingServer& peer, const std::string&, int) {
    peer.reply(name, body);
    return true;
  });
  const PingResult& result = run(options(1));
  CHECK(result.verdict == Verdict::no_reply);
  CHECK(result.statistics.errors() == 1);
  CHECK(result.statistics.loss_percent() == 100);
  CHECK(recorder.lost.size() == 1);
  REQUIRE(recorder.errors.size() == 1);
  CHECK(recorder.errors.front().second == problem);
  CHECK(recorder.troubles.empty());
}

TEST_CASE_FIXTURE(PingTest,
                  "a pong that comes once more is counted, and does not shift the others") {
  server.set_answer([](PingServer& peer, const std::string& params, int number) {
    PingServer::pong(peer, params, number);
    return PingServer::pong(peer, params, number);
  });
  PingOptions wanted = options(3);
  SUBCASE("on one connection") {}
  SUBCASE("with many under way") {
    wanted.in_flight = 3;
  }
  SUBCASE("with params too short for a number") {
    wanted.size = 1;
  }
  SUBCASE("with a connection for each probe") {
    wanted.reconnect = true;
  }
  SUBCASE("after the server was waited for") {
    wanted.wait_until_up = true;
  }
  const PingResult& result = run(wanted);
  CHECK(result.verdict == Verdict::answered);
  CHECK(result.statistics.received() == 3);
  CHECK(result.statistics.duplicates() >= 2);
  CHECK(result.statistics.loss_percent() == 0);
  CHECK(result.statistics.errors() == 0);
  CHECK(recorder.pongs.size() == 3);
  CHECK(recorder.duplicates.size() == result.statistics.duplicates());
  CHECK(recorder.troubles.empty());
}

TEST_CASE_FIXTURE(PingTest,
                  "a pong that comes long after the next ones is a duplicate of its own") {
  std::string first;
  server.set_answer([&first](PingServer& peer, const std::string& params, int number) {
    if (number == 0) { first = params; }
    PingServer::pong(peer, params, number);
    if (number == 2) { PingServer::pong(peer, first, number); }
    return true;
  });
  const PingResult& result = run(options(4));
  CHECK(result.statistics.received() == 4);
  CHECK(recorder.duplicates == std::vector<std::uint64_t>{1});
}

TEST_CASE_FIXTURE(PingTest, "pongs in another order are received or late, and no duplicates") {
  std::vector<std::string> held;
  server.set_answer([&held](PingServer& peer, const std::string& params, int) {
    held.push_back(params);
    if (held.size() == 3) {
      for (const int i : {1, 0, 2}) { peer.reply(R"("pong")", held[static_cast<std::size_t>(i)]); }
    }
    return true;
  });
  PingOptions wanted = options(3);
  wanted.in_flight = 3;
  const PingResult& result = run(wanted);
  CHECK(result.statistics.received() == 2);
  CHECK(recorder.late == std::vector<std::uint64_t>{1});
  CHECK(recorder.duplicates.empty());
}

TEST_CASE_FIXTURE(PingTest, "a reply that nobody asked for breaks the protocol") {
  server.set_answer([](PingServer& peer, const std::string& params, int number) {
    PingServer::pong(peer, params, number);
    peer.reply(R"("pong")", R"("of another")");
    return true;
  });
  PingOptions wanted = options(0, Pace::interval);
  wanted.interval = 1h;
  const PingResult& result = run(wanted);
  CHECK(result.verdict == Verdict::protocol_broken);
  CHECK(result.statistics.received() == 1);
  REQUIRE(recorder.troubles.size() == 1);
  CHECK(recorder.troubles.front() ==
        "cannot ping " + server.address() + ": it sent a reply that nobody asked for");
}

TEST_CASE_FIXTURE(PingTest, "what is no frame breaks the protocol, and ends the run") {
  server.set_answer([](PingServer& peer, const std::string&, int) {
    peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    return true;
  });
  PingOptions wanted = options(0);
  SUBCASE("on one connection") {}
  SUBCASE("with a connection for each probe") {
    wanted.reconnect = true;
  }
  SUBCASE("while it is waited for") {
    wanted.wait_until_up = true;
  }
  CHECK(run(wanted).verdict == Verdict::protocol_broken);
  CHECK(recorder.troubles.size() == 1);
}

TEST_CASE_FIXTURE(PingTest,
                  "a connection that ends between probes is replaced, and nothing is lost") {
  server.set_answer([](PingServer& peer, const std::string& params, int number) {
    PingServer::pong(peer, params, number);
    return false;
  });
  const PingResult& result = run(options(4, Pace::interval));
  CHECK(result.statistics.received() == 4);
  CHECK(server.connections() == 4);
  CHECK(recorder.troubles.empty());
}

TEST_CASE_FIXTURE(PingTest, "probes on a lost connection are lost, the next goes on a new one") {
  server.set_answer([](PingServer& peer, const std::string& params, int number) {
    return number != 1 && PingServer::pong(peer, params, number);
  });
  PingOptions wanted = options(3);
  SUBCASE("that stays") {}
  SUBCASE("of its own") {
    wanted.reconnect = true;
  }
  const PingResult& result = run(wanted);
  CHECK(result.verdict == Verdict::answered);
  CHECK(result.statistics.sent() == 3);
  CHECK(result.statistics.received() == 2);
  REQUIRE(recorder.lost.size() == 1);
  CHECK(recorder.lost.front().first == 2);
  CHECK(recorder.troubles.size() == 1);
}

}  // namespace
}  // namespace handoff

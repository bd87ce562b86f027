// SPDX-License-Identifier: MIT
// When an address is sent a probe, on which connection, and when it is done with.
#include "ping/target.hpp"

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

TEST_CASE_FIXTURE(PingTest, "so many probes are under way on each connection") {
  std::vector<std::string> held;
  server.set_answer([&held](PingServer& peer, const std::string& params, int) {
    held.push_back(params);
    if (held.size() == 8) {
      for (const std::string& one : held) peer.reply(R"("pong")", one);
      held.clear();
    }
    return true;
  });
  PingOptions wanted = options(32, Pace::flood);
  wanted.in_flight = 8;
  CHECK(run(wanted).statistics.received() == 32);
}

TEST_CASE_FIXTURE(PingTest, "connections take turns") {
  PingOptions wanted = options(9, Pace::interval);
  wanted.interval = 1ms;
  wanted.connections = 3;
  CHECK(run(wanted).statistics.received() == 9);
  CHECK(server.connections() == 3);
}

TEST_CASE_FIXTURE(PingTest, "a flood goes on at 100 a second when nothing comes back") {
  server.set_answer([](PingServer&, const std::string&, int) { return true; });
  PingOptions wanted = options(4, Pace::flood);
  wanted.reply_timeout = 200ms;
  const PingResult& result = run(wanted);
  CHECK(result.statistics.sent() == 4);
  CHECK(result.verdict == Verdict::no_reply);
}

TEST_CASE_FIXTURE(PingTest, "at a rate, a probe that was sent late is timed from when it was due") {
  server.set_answer([](PingServer& peer, const std::string& params, int number) {
    // The whole process stands still.
    const TimePoint end = Clock::now() + 50ms;
    while (number == 0 && Clock::now() < end) {
    }
    return PingServer::pong(peer, params, number);
  });
  PingOptions wanted = options(3, Pace::rate);
  wanted.rate = 1000;
  run(wanted);
  REQUIRE(recorder.pongs.size() == 3);
  for (const auto& [seq, rtt] : recorder.pongs) CHECK(rtt > 40ms);
}

TEST_CASE_FIXTURE(PingTest, "with a deadline it is replies that are counted") {
  server.set_answer([](PingServer& peer, const std::string& params, int number) {
    return number == 0 || PingServer::pong(peer, params, number);
  });
  PingOptions wanted = options(3);
  wanted.deadline = 30s;
  wanted.reply_timeout = 200ms;
  const PingResult& result = run(wanted);
  CHECK(result.verdict == Verdict::answered);
  CHECK(result.statistics.sent() == 4);
  CHECK(result.statistics.received() == 3);
}

TEST_CASE_FIXTURE(PingTest, "fewer replies than wanted by the deadline are not enough") {
  PingOptions wanted = options(5, Pace::interval);
  wanted.interval = 1h;
  wanted.deadline = 20ms;
  const PingResult& result = run(wanted);
  CHECK(result.statistics.received() == 1);
  CHECK(result.verdict == Verdict::no_reply);
}

}  // namespace
}  // namespace handoff

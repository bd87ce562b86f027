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
      for (const std::string& one : held) { peer.reply(R"("pong")", one); }
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
    while (number == 0 && Clock::now() < end) {}
    return PingServer::pong(peer, params, number);
  });
  PingOptions wanted = options(3, Pace::rate);
  wanted.rate = 1000;
  run(wanted);
  REQUIRE(recorder.pongs.size() == 3);
  for (const auto& [seq, rtt] : recorder.pongs) { CHECK(rtt > 40ms); }
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

TEST_CASE_FIXTURE(PingTest,
                  "a paused target takes replies and sends no probe until it is resumed") {
  std::size_t sent_while_paused = 0;
  std::size_t sent_before = 0;
  PingOptions wanted = options(0, Pace::flood);
  wanted.in_flight = 4;
  recorder.when_pong = [this, &sent_while_paused, &sent_before] {
    const std::size_t pongs = recorder.pongs.size();
    if (pongs == 10) {
      pinger->pause();
      sent_before = recorder.sent.size();
    }
    if (pongs == sent_before) {  // nothing is under way any more
      sent_while_paused = recorder.sent.size() - sent_before;
      pinger->resume();
    }
    if (pongs == 50) { pinger->stop(); }
  };
  const PingResult& result = run(wanted);
  CHECK(sent_before >= 10);
  CHECK(sent_while_paused == 0);
  CHECK(result.statistics.received() >= 50);
  CHECK(result.statistics.loss_percent() == 0);
}

TEST_CASE_FIXTURE(PingTest, "a target with a count ends with its last reply, and not before") {
  std::string held;
  server.set_answer([&held](PingServer& peer, const std::string& params, int number) {
    if (number == 0) {
      held = params;
      return true;
    }
    PingServer::pong(peer, held, number);
    return PingServer::pong(peer, params, number);
  });
  PingOptions wanted = options(2, Pace::flood);
  wanted.in_flight = 2;
  const PingResult& result = run(wanted);
  CHECK(result.statistics.sent() == 2);
  CHECK(result.statistics.received() == 2);
  CHECK(result.verdict == Verdict::answered);
  CHECK(recorder.sent == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE_FIXTURE(PingTest, "each of several targets has its own count and its own verdict") {
  test::PingServer silent(reactor, [](PingServer&, const std::string&, int) { return true; });
  reactor.spawn(silent.run());
  PingOptions wanted = options(2, Pace::flood);
  wanted.in_flight = 2;
  wanted.reply_timeout = 200ms;
  run(wanted, {server.address(), silent.address()});
  const auto results = pinger->results();
  CHECK(results[0]->verdict == Verdict::answered);
  CHECK(results[0]->statistics.received() == 2);
  CHECK(results[1]->verdict == Verdict::no_reply);
  CHECK(results[1]->statistics.sent() == 2);
  CHECK(results[1]->statistics.loss_percent() == 100);
}

}  // namespace
}  // namespace handoff

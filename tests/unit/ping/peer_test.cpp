// SPDX-License-Identifier: MIT
// How the first connection to a server is made, and waited for.
#include "ping/peer.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include <handoff/os/error.hpp>

#include "unit/ping/fake_peer.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using namespace std::chrono_literals;
using test::closed_address;
using test::PingServer;
using test::PingTest;
using Verdict = PingResult::Verdict;

TEST_CASE_FIXTURE(PingTest, "the first connection to the only address must succeed") {
  const std::string address = closed_address();
  const PingResult& result = run(options(1), {address});
  CHECK(result.verdict == Verdict::unreachable);
  CHECK_FALSE(result.started);
  REQUIRE(recorder.troubles.size() == 1);
  CHECK(recorder.troubles.front() == "cannot connect to " + address + ": Connection refused");
  CHECK(recorder.starts == 0);
}

TEST_CASE_FIXTURE(PingTest, "of several addresses, one that nobody listens at does not matter") {
  run(options(2), {closed_address(), server.address()});
  const auto results = pinger->results();
  CHECK(results[0]->verdict == Verdict::unreachable);
  CHECK(results[0]->statistics.sent() == 2);
  CHECK(results[1]->verdict == Verdict::answered);
  CHECK(results[1]->statistics.received() == 2);
  CHECK(recorder.starts == 2);
  CHECK(recorder.troubles.size() == 2);
}

TEST_CASE_FIXTURE(PingTest, "waiting ends when the server answers") {
  server.set_answer([](PingServer& peer, const std::string& params, int number) {
    return number > 1 && PingServer::pong(peer, params, number);  // twice it hangs up
  });
  PingOptions wanted = options(2);
  wanted.wait_until_up = true;
  CHECK(run(wanted).statistics.received() == 2);
  CHECK(server.connections() == 3);
  REQUIRE(recorder.waits.size() == 1);
  CHECK(recorder.waits.front().starts_with("no reply from " + server.address() + ": "));
  CHECK(recorder.waits.front().ends_with(" (waiting)"));
  CHECK(recorder.troubles.empty());
}

TEST_CASE_FIXTURE(PingTest, "waiting ends at the deadline") {
  const std::string address = closed_address();
  PingOptions wanted = options(1);
  wanted.wait_until_up = true;
  wanted.deadline = 30ms;
  const PingResult& result = run(wanted, {address});
  CHECK(result.verdict == Verdict::unreachable);
  CHECK_FALSE(result.started);
  REQUIRE(recorder.troubles.size() == 1);
  CHECK(recorder.troubles.front() ==
        "cannot connect to " + address + " within 30ms: Connection refused");
}

TEST_CASE_FIXTURE(PingTest, "a descriptor can't be connected again") {
  PingOptions wanted = options(1);
  SUBCASE("for each probe") {
    wanted.reconnect = true;
  }
  SUBCASE("for several connections") {
    wanted.connections = 2;
  }
  SUBCASE("until the server is up") {
    wanted.wait_until_up = true;
  }
  CHECK_THROWS_AS(run(wanted, {"fd:0"}), InvalidArgument);
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "worker/id_reports.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <handoff/async/reactor.hpp>

#include "pass/channel.hpp"

namespace handoff {
namespace {

constexpr std::uint64_t kOwn = channel::kOwnId;

struct Fixture {
  Fixture() : reports(reactor, [this] { ++due; }) {}

  /// What is sent to a channel that takes so many messages.
  std::vector<std::size_t> send_finished(std::size_t room) {
    std::vector<std::size_t> sent;
    const bool all = reports.send_finished([&](const std::string& message) {
      if (sent.size() == room) { return false; }
      sent.push_back(channel::decode(message)->ids.size());
      return true;
    });
    CHECK(all == reports.is_empty());
    return sent;
  }

  Reactor reactor;
  int due = 0;
  IdReports reports;
};

/// So many ends of connections that the master has passed.
void finish(IdReports& reports, int count) {
  for (int i = 1; i <= count; ++i) { reports.finished(static_cast<std::uint64_t>(i)); }
}

TEST_CASE("the first end of a passed connection is due at once") {
  Fixture fixture;
  CHECK(fixture.reports.is_empty());
  fixture.reports.finished(1);
  CHECK(fixture.due == 1);
  CHECK_FALSE(fixture.reports.is_empty());
  CHECK(fixture.send_finished(1) == std::vector<std::size_t>{1});
}

TEST_CASE("the ends of passed connections that follow are gathered for a millisecond") {
  Fixture fixture;
  fixture.reactor.run([](Fixture& its) -> Task<void> {
    its.reports.finished(1);
    its.send_finished(1);
    const TimePoint told = its.reactor.now();
    its.due = 0;
    finish(its.reports, 15);
    CHECK(its.due == 0);
    while (its.due == 0) { co_await its.reactor.yield(); }
    CHECK(its.reactor.now() - told >= std::chrono::milliseconds(1));
    CHECK(its.send_finished(2) == std::vector<std::size_t>{15});
  }(fixture));
}

TEST_CASE("sixteen ends of passed connections are due, and each one that the master waits for") {
  Fixture fixture;
  fixture.reports.finished(1);
  fixture.send_finished(1);
  fixture.due = 0;
  SUBCASE("sixteen") {
    finish(fixture.reports, 15);
    CHECK(fixture.due == 0);
    fixture.reports.finished(16);
    CHECK(fixture.due == 1);
  }
  SUBCASE("awaited") {
    finish(fixture.reports, 3);
    fixture.reports.finished(4, IdReports::Urgency::at_once);
    CHECK(fixture.due == 1);
    CHECK(fixture.send_finished(1) == std::vector<std::size_t>{4});
  }
}

TEST_CASE("the end of a passed connection is due at once again after a pause") {
  Fixture fixture;
  fixture.reactor.run([](Fixture& its) -> Task<void> {
    its.reports.finished(1);
    its.send_finished(1);
    its.due = 0;
    co_await its.reactor.sleep_until(its.reactor.now() + std::chrono::milliseconds(1));
    its.reports.finished(2);
    CHECK(its.due == 1);
  }(fixture));
}

TEST_CASE("what the worker has accepted itself is gathered for a moment") {
  Fixture fixture;
  fixture.reactor.run([](Fixture& its) -> Task<void> {
    its.reports.started(kOwn | 1);
    its.reports.finished(kOwn | 1);
    its.reports.started(kOwn | 2);
    CHECK(its.due == 0);
    while (its.due == 0) { co_await its.reactor.yield(); }
    CHECK(its.due == 1);
  }(fixture));
}

TEST_CASE("what makes a whole message is due at once") {
  Fixture fixture;
  for (std::uint64_t i = 1; i < 1024; ++i) { fixture.reports.finished(kOwn | i); }
  CHECK(fixture.due == 0);
  fixture.reports.finished(kOwn);
  CHECK(fixture.due == 1);
}

TEST_CASE("nothing is gathered any more once the worker leaves") {
  Fixture fixture;
  fixture.reports.report_immediately();
  CHECK(fixture.due == 0);
  fixture.reports.finished(kOwn | 1);
  fixture.reports.started(kOwn | 2);
  CHECK(fixture.due == 2);
  Fixture other;
  other.reports.finished(kOwn | 1);
  other.reports.report_immediately();
  CHECK(other.due == 1);
}

TEST_CASE("what a full channel does not take stays for the next attempt") {
  Fixture fixture;
  for (std::uint64_t i = 1; i <= 2500; ++i) { fixture.reports.finished(i); }
  CHECK(fixture.send_finished(0).empty());
  CHECK(fixture.send_finished(2) == std::vector<std::size_t>{1024, 1024});
  CHECK(fixture.send_finished(2) == std::vector<std::size_t>{452});
  CHECK(fixture.reports.is_empty());
}

}  // namespace
}  // namespace handoff

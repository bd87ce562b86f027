// SPDX-License-Identifier: MIT
#include "ping/statistics.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <vector>

#include <handoff/os/error.hpp>

namespace handoff {
namespace {

using namespace std::chrono_literals;

PingStatistics statistics_of(const std::vector<PingStatistics::Rtt>& rtts, int lost = 0) {
  PingStatistics statistics;
  for (const PingStatistics::Rtt rtt : rtts) {
    statistics.add_sent();
    statistics.add_received(rtt);
  }
  for (int i = 0; i < lost; ++i) { statistics.add_sent(); }
  return statistics;
}

TEST_CASE("statistics are those of ping") {
  const PingStatistics statistics = statistics_of({1ms, 2ms, 6ms}, 1);
  CHECK(statistics.sent() == 4);
  CHECK(statistics.received() == 3);
  CHECK(statistics.loss_percent() == 25);
  CHECK(statistics.min() == 1ms);
  CHECK(statistics.average() == 3ms);
  CHECK(statistics.max() == 6ms);
  CHECK(statistics.deviation() == 2160247ns);  // sqrt(((1-3)² + (2-3)² + (6-3)²) / 3) ms
  CHECK(statistics.moving_average() == 1734375ns);
}

TEST_CASE("statistics of nothing are zeroes") {
  const PingStatistics statistics;
  CHECK(statistics.loss_percent() == 0);
  CHECK(statistics.average() == 0ns);
  CHECK(statistics.deviation() == 0ns);
}

TEST_CASE("a probe that could not be sent is no loss, and what came late or twice is no reply") {
  PingStatistics statistics = statistics_of({1ms, 2ms}, 2);
  statistics.take_back_sent(2);
  CHECK(statistics.sent() == 2);
  CHECK(statistics.loss_percent() == 0);
  statistics.add_sent();
  statistics.add_error();
  statistics.add_late();
  statistics.add_late();
  statistics.add_duplicate();
  CHECK(statistics.received() == 2);
  CHECK(statistics.errors() == 1);
  CHECK(statistics.late() == 2);
  CHECK(statistics.duplicates() == 1);
  CHECK(statistics.loss_percent() == doctest::Approx(100.0 / 3));
}

TEST_CASE("the average and the deviation stay exact over many like values far from zero") {
  PingStatistics statistics;
  for (int i = 0; i < 100'000; ++i) { statistics.add_received(1h + (i % 2 == 0 ? 1ms : -1ms)); }
  CHECK(statistics.average() == 1h);
  CHECK(statistics.deviation() == 1ms);
}

TEST_CASE("the moving average begins with the first value and gives the latest an eighth") {
  PingStatistics statistics = statistics_of({8ms});
  CHECK(statistics.moving_average() == 8ms);
  statistics.add_received(16ms);
  CHECK(statistics.moving_average() == 9ms);
}

TEST_CASE("a measure is a percentile, the average or the maximum") {
  const PingStatistics statistics = statistics_of({1ms, 2ms, 6ms});
  CHECK(RttMeasure::parse("p100").of(statistics) == 6ms);
  CHECK(RttMeasure::parse("p0.1").of(statistics) == 1ms);
  CHECK(RttMeasure::parse("avg").of(statistics) == 3ms);
  CHECK(RttMeasure::parse("max").of(statistics) == 6ms);
  CHECK(RttMeasure::parse("p99.9").name() == "p99.9");
  for (const char* text : {"", "p", "p0", "p101", "p-1", "p5x", "pnan", "median"}) {
    INFO(text);
    CHECK_THROWS_AS(RttMeasure::parse(text), InvalidArgument);
  }
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "ping/histogram.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>

namespace handoff {
namespace {

using namespace std::chrono_literals;
using Value = Histogram::Value;

bool is_near(Value value, Value expected) {
  const double distance = static_cast<double>((value - expected).count());
  return distance * distance <=
         1e-4 * static_cast<double>(expected.count()) * static_cast<double>(expected.count());
}

TEST_CASE("an empty histogram has zeroes") {
  const Histogram histogram;
  CHECK(histogram.count() == 0);
  CHECK(histogram.min() == 0ns);
  CHECK(histogram.max() == 0ns);
  CHECK(histogram.percentile(50) == 0ns);
}

TEST_CASE("every value from 1 ns to 39 hours is found again within 1 %") {
  for (std::int64_t value = 1; Value(value) < 30h; value += 1 + value / 37) {
    Histogram histogram;
    histogram.record(Value(1));
    histogram.record(Value(value));
    histogram.record(30h);
    histogram.record(39h);
    INFO(value);
    CHECK(is_near(histogram.percentile(50), Value(value)));
  }
}

TEST_CASE("small values, the minimum and the maximum are exact") {
  Histogram histogram;
  for (int value = 1; value <= 255; ++value) { histogram.record(Value(value)); }
  histogram.record(123456789ns);
  for (int value = 1; value <= 255; ++value) {
    CHECK(histogram.percentile(100.0 * value / 256) == Value(value));
  }
  CHECK(histogram.min() == 1ns);
  CHECK(histogram.max() == 123456789ns);
  CHECK(histogram.percentile(100) == 123456789ns);
}

TEST_CASE("percentiles are nearest ranks") {
  Histogram histogram;
  for (int value = 1; value <= 1000; ++value) { histogram.record(value * 1ms); }
  CHECK(histogram.count() == 1000);
  CHECK(is_near(histogram.percentile(50), 500ms));
  CHECK(is_near(histogram.percentile(90), 900ms));
  CHECK(is_near(histogram.percentile(99), 990ms));
  CHECK(is_near(histogram.percentile(99.9), 999ms));
  CHECK(histogram.percentile(0.01) == 1ms);
}

TEST_CASE("one value is every percentile") {
  Histogram histogram;
  histogram.record(83456ns);
  for (const double percent : {0.1, 50.0, 99.9, 100.0}) {
    CHECK(histogram.percentile(percent) == 83456ns);
  }
}

TEST_CASE("what is out of range counts as its end") {
  Histogram histogram;
  histogram.record(-5ns);
  CHECK(histogram.max() == 0ns);
  histogram.record(1000h);
  CHECK(histogram.count() == 2);
  CHECK(histogram.min() == 0ns);
  CHECK(histogram.max() > 39h);
  CHECK(histogram.max() < 40h);
}

TEST_CASE("a merged histogram has what both have recorded") {
  Histogram low;
  Histogram high;
  Histogram both;
  for (int value = 1; value <= 100; ++value) {
    low.record(value * 1us);
    high.record(value * 1s);
    both.record(value * 1us);
    both.record(value * 1s);
  }
  low.merge(high);
  CHECK(low.count() == 200);
  CHECK(low.min() == 1us);
  CHECK(low.max() == 100s);
  for (const double percent : {1.0, 25.0, 50.0, 75.0, 99.0}) {
    CHECK(low.percentile(percent) == both.percentile(percent));
  }
  low.merge(Histogram());
  CHECK(low.count() == 200);
  CHECK(low.min() == 1us);
}

}  // namespace
}  // namespace handoff

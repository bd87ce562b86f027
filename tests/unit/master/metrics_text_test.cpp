// SPDX-License-Identifier: MIT
#include "master/metrics_text.hpp"

#include <doctest/doctest.h>

#include <utility>

namespace handoff {
namespace {

TEST_CASE("a metric is its help, its type, and its samples with their labels") {
  MetricsText text;
  text.begin("a_total", "counter", "What it counts.");
  text.sample("a_total", {}, 1);
  text.sample("a_total", {{"b", "c"}, {"d", "e"}}, 2.5);
  CHECK(std::move(text).text() ==
        "# HELP a_total What it counts.\n# TYPE a_total counter\n"
        "a_total 1\na_total{b=\"c\",d=\"e\"} 2.5\n");
}

TEST_CASE("quotation marks, backslashes and newlines in the value of a label are escaped") {
  MetricsText text;
  text.sample("a", {{"b", "\"c\\d\n\xc3\xa9"}}, 1);
  CHECK(std::move(text).text() == "a{b=\"\\\"c\\\\d\\n\xc3\xa9\"} 1\n");
}

TEST_CASE("calls outside the buckets of a histogram count in its first bucket and in +Inf") {
  ledger::Totals totals;
  totals.durations[0] = 1;
  totals.durations[3] = 2;
  totals.durations[4] = 3;
  totals.durations[9] = 4;
  totals.call_time = 1'500'000'000;
  MetricsText text;
  text.histogram("h", {{"a", "b"}}, totals, {.first = 2, .last = 4});
  CHECK(std::move(text).text() ==
        "h_bucket{a=\"b\",le=\"4e-06\"} 1\n"
        "h_bucket{a=\"b\",le=\"8e-06\"} 3\n"
        "h_bucket{a=\"b\",le=\"1.6e-05\"} 6\n"
        "h_bucket{a=\"b\",le=\"+Inf\"} 10\n"
        "h_sum{a=\"b\"} 1.5\n"
        "h_count{a=\"b\"} 10\n");
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "master/metrics.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <string>

#include <handoff/wire/errors.hpp>
#include <handoff/wire/json_text.hpp>
#include <handoff/wire/limits.hpp>

#include "pass/method_totals.hpp"

namespace handoff {
namespace {

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST_CASE("the buckets of the durations add up to their count, and have limits in seconds") {
  MasterStatus status;
  status.totals.durations[0] = 1;
  status.totals.durations[10] = 2;
  status.totals.durations.back() = 4;
  status.totals.call_time = 2'500'000'000;
  const std::string text = to_metrics(status);
  const std::string bucket = "handoff_call_duration_seconds_bucket";
  CHECK(has_line(text, "# TYPE handoff_call_duration_seconds histogram"));
  CHECK(has_line(text, bucket + "{le=\"1e-06\"} 1"));
  CHECK(has_line(text, bucket + "{le=\"0.000512\"} 1"));
  CHECK(has_line(text, bucket + "{le=\"0.001024\"} 3"));
  CHECK(has_line(text, bucket + "{le=\"1073.741824\"} 3"));
  CHECK(has_line(text, bucket + "{le=\"+Inf\"} 7"));
  CHECK(has_line(text, "handoff_call_duration_seconds_sum 2.5"));
  CHECK(has_line(text, "handoff_call_duration_seconds_count 7"));
}

TEST_CASE("errors are told by their code, those too that there were none of") {
  MasterStatus status;
  status.totals.errors[ledger::error_counter(ErrorCode::handler_failed)] = 3;
  status.totals.errors.back() = 1;
  const std::string text = to_metrics(status);
  CHECK(has_line(text, "handoff_errors_total{code=\"-32001\"} 3"));
  CHECK(has_line(text, "handoff_errors_total{code=\"-32700\"} 0"));
  CHECK(has_line(text, "handoff_errors_total{code=\"other\"} 1"));
}

TEST_CASE("requests, calls, rescued and lost connections are told") {
  MasterStatus status;
  status.totals.requests = 9;
  status.totals.active_calls = 2;
  status.rescued = {5, 6, 7};
  status.lost = 8;
  const std::string text = to_metrics(status);
  CHECK(has_line(text, "handoff_requests_total 9"));
  CHECK(has_line(text, "handoff_calls 2"));
  CHECK(has_line(text, "handoff_connections_rescued_total{how=\"moved\"} 5"));
  CHECK(has_line(text, "handoff_connections_rescued_total{how=\"answered\"} 6"));
  CHECK(has_line(text, "handoff_connections_lost_total 8"));
}

TEST_CASE("the counters of a number have those of its workers that have ended") {
  MasterStatus status;
  status.former[1].connections = 10;
  status.former[1].totals.requests = 20;
  status.former[2].totals.requests = 7;
  WorkerStatus worker;
  worker.number = 1;
  worker.passed = 1;
  worker.totals.requests = 2;
  status.workers = {worker, worker};
  const std::string text = to_metrics(status);
  CHECK(has_line(text, "handoff_worker_connections_total{worker=\"1\"} 12"));
  CHECK(has_line(text, "handoff_worker_requests_total{worker=\"1\"} 24"));
  CHECK(has_line(text, "handoff_worker_requests_total{worker=\"2\"} 7"));
  CHECK(!has_line(text, "handoff_worker_ready{worker=\"2\"} 0"));
}

TEST_CASE("requests, errors and durations are told by method, and only what there was of them") {
  MasterStatus status;
  ledger::Totals sum;
  sum.requests = 7;
  sum.errors[ledger::error_counter(ErrorCode::handler_failed)] = 3;
  sum.durations[11] = 4;
  sum.call_time = 6'000'000;
  ledger::Totals instant;
  instant.requests = 9;
  status.methods.add("sum", sum);
  status.methods.add("a\"\\b", instant);
  const std::string text = to_metrics(status);
  CHECK(has_line(text, "handoff_method_requests_total{method=\"sum\"} 7"));
  CHECK(has_line(text, "handoff_method_requests_total{method=\"a\\\"\\\\b\"} 9"));
  CHECK(has_line(text, "handoff_method_errors_total{method=\"sum\",code=\"-32001\"} 3"));
  CHECK(text.find("method=\"sum\",code=\"-32601\"") == std::string::npos);
  const std::string name = "handoff_method_duration_seconds";
  CHECK(has_line(text, name + "_bucket{method=\"sum\",le=\"0.001024\"} 0"));
  CHECK(has_line(text, name + "_bucket{method=\"sum\",le=\"0.002048\"} 4"));
  CHECK(has_line(text, name + "_bucket{method=\"sum\",le=\"+Inf\"} 4"));
  CHECK(has_line(text, name + "_sum{method=\"sum\"} 0.006"));
  CHECK(has_line(text, name + "_count{method=\"sum\"} 4"));
  CHECK(text.find(name + "_count{method=\"a") == std::string::npos);
}

TEST_CASE("without workers that count by method, nothing is told by method") {
  CHECK(to_metrics({}).find("handoff_method") == std::string::npos);
}

TEST_CASE("the metrics of the most and longest names with the greatest numbers fit into a frame") {
  ledger::Totals most;
  most.requests = most.call_time = std::uint64_t{1} << 58U;
  most.errors.fill(most.requests);
  most.durations.fill(most.requests >> 5U);
  std::map<int, ledger::MethodTotals> places;
  for (int i = 0; i < 10'000; ++i) {
    const std::string name = std::string(29, '"') + std::to_string(10'000 + i);
    REQUIRE(ledger::is_method_name(name));
    places[i / 60].add(name, most);
  }
  MasterStatus status;
  status.methods = ledger::MethodTotals::of_all(places);
  CHECK(status.methods.by_name().size() == ledger::MethodTotals::kMostNames);
  status.totals = most;
  CHECK(quote_json(to_metrics(status)).size() < limits::kMaxFrame - 10'000);
}

}  // namespace
}  // namespace handoff

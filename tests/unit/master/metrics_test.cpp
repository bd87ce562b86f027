// SPDX-License-Identifier: MIT
#include "master/metrics.hpp"

#include <doctest/doctest.h>

#include <string>

#include <handoff/wire/errors.hpp>

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
  status.refused_headers = 3;
  const std::string text = to_metrics(status);
  CHECK(has_line(text, "handoff_requests_total 9"));
  CHECK(has_line(text, "handoff_calls 2"));
  CHECK(has_line(text, "handoff_connections_rescued_total{how=\"moved\"} 5"));
  CHECK(has_line(text, "handoff_connections_rescued_total{how=\"answered\"} 6"));
  CHECK(has_line(text, "handoff_connections_lost_total 8"));
  CHECK(has_line(text, "handoff_refused_headers_total 3"));
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

}  // namespace
}  // namespace handoff

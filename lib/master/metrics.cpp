// SPDX-License-Identifier: MIT
#include "master/metrics.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "master/metrics_text.hpp"
#include "pass/method_totals.hpp"

namespace handoff {
namespace {

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

/// Values by the number of the worker.
using Values = std::map<int, double>;

/// Adds a metric with a sample for each worker's number: a worker that drains and its successor
/// count together, with those in `former` that have ended.
void add_by_worker(MetricsText& metrics, const char* name, const char* type, const char* help,
                   const std::vector<WorkerStatus>& workers,
                   const std::function<double(const WorkerStatus&)>& value, Values former = {}) {
  for (const WorkerStatus& worker : workers) { former[worker.number] += value(worker); }
  metrics.begin(name, type, help);
  for (const auto& [number, sum] : former) {
    metrics.sample(name, {{"worker", std::to_string(number)}}, sum);
  }
}

void add_queue(MetricsText& metrics, const Queue::Counts& queue) {
  metrics.add("handoff_queue_waiting", "gauge", "Requests that wait for a free worker.",
              static_cast<double>(queue.waiting));
  metrics.add("handoff_queue_running", "gauge", "Requests that a worker has.",
              static_cast<double>(queue.running));
  metrics.add("handoff_queue_late_total", "counter", "Replies that came too late.",
              static_cast<double>(queue.late));
  metrics.add("handoff_queue_redispatched_total", "counter",
              "Requests of dead workers that went to others.",
              static_cast<double>(queue.redispatched));
  metrics.add("handoff_queue_died_total", "counter", "Requests that died with their worker.",
              static_cast<double>(queue.died));
}

void add_errors(MetricsText& metrics, const char* name, const std::string& method,
                const ledger::Totals& totals) {
  for (std::size_t i = 0; i < totals.errors.size(); ++i) {
    if (totals.errors[i] == 0) { continue; }
    metrics.sample(name, {{"method", method}, {"code", ledger::name_of_error_counter(i)}},
                   static_cast<double>(totals.errors[i]));
  }
}

/// Errors and durations are shown where there were any. Fewer buckets than those of all calls keep
/// the text of the most methods that there can be below the limit of a frame.
void add_methods(MetricsText& metrics, const ledger::MethodTotals::Map& methods) {
  if (methods.empty()) { return; }
  constexpr const char* kRequests = "handoff_method_requests_total";
  metrics.begin(kRequests, "counter", "Requests that a worker had, by method.");
  for (const auto& [method, totals] : methods) {
    metrics.sample(kRequests, {{"method", method}}, static_cast<double>(totals.requests));
  }
  constexpr const char* kErrors = "handoff_method_errors_total";
  metrics.begin(kErrors, "counter", "Errors that a worker replied, by method.");
  for (const auto& [method, totals] : methods) { add_errors(metrics, kErrors, method, totals); }
  constexpr const char* kDuration = "handoff_method_duration_seconds";
  metrics.begin(kDuration, "histogram",
                "How long calls took in the worker, by method; instant ones are left out.");
  for (const auto& [method, totals] : methods) {
    if (totals.calls() == 0) { continue; }
    metrics.histogram(kDuration, {{"method", method}}, totals, {.first = 6, .last = 25});
  }
}

void add_calls(MetricsText& metrics, const ledger::Totals& totals) {
  metrics.add("handoff_requests_total", "counter", "Requests received.",
              static_cast<double>(totals.requests));
  metrics.begin("handoff_errors_total", "counter", "Errors that clients were answered.");
  for (std::size_t i = 0; i < totals.errors.size(); ++i) {
    metrics.sample("handoff_errors_total", {{"code", ledger::name_of_error_counter(i)}},
                   static_cast<double>(totals.errors[i]));
  }
  metrics.add("handoff_calls", "gauge", "Calls that have begun or wait.",
              static_cast<double>(totals.active_calls));
  constexpr const char* kDuration = "handoff_call_duration_seconds";
  metrics.begin(kDuration, "histogram", "How long calls took; instant ones only with a queue.");
  metrics.histogram(kDuration, {}, totals, {.first = 0, .last = ledger::kDurations - 2});
}

void add_rescued(MetricsText& metrics, const MasterStatus& status) {
  constexpr const char* kRescued = "handoff_connections_rescued_total";
  metrics.begin(kRescued, "counter", "Connections of workers that died and that others serve on.");
  metrics.sample(kRescued, {{"how", "moved"}}, static_cast<double>(status.rescued.moved));
  metrics.sample(kRescued, {{"how", "answered"}}, static_cast<double>(status.rescued.answered));
  metrics.add("handoff_connections_lost_total", "counter",
              "Connections that ended with their worker, or could not be passed.",
              static_cast<double>(status.lost));
}

void add_workers(MetricsText& metrics, const MasterStatus& status) {
  Values connections;
  Values requests;
  for (const auto& [number, former] : status.former) {
    connections[number] = static_cast<double>(former.connections);
    requests[number] = static_cast<double>(former.totals.requests);
  }
  const std::vector<WorkerStatus>& workers = status.workers;
  add_by_worker(
      metrics, "handoff_worker_ready", "gauge", "Workers that are ready.", workers,
      [](const WorkerStatus& worker) { return worker.state == WorkerState::ready ? 1.0 : 0.0; });
  add_by_worker(metrics, "handoff_worker_connections", "gauge", "Connections held.", workers,
                [](const WorkerStatus& worker) { return static_cast<double>(worker.connections); });
  add_by_worker(
      metrics, "handoff_worker_connections_total", "counter", "Connections passed.", workers,
      [](const WorkerStatus& worker) { return static_cast<double>(worker.passed); },
      std::move(connections));
  add_by_worker(
      metrics, "handoff_worker_requests_total", "counter", "Requests.", workers,
      [](const WorkerStatus& worker) { return static_cast<double>(worker.totals.requests); },
      std::move(requests));
  add_by_worker(metrics, "handoff_worker_restarts_total", "counter", "Restarts after a death.",
                workers,
                [](const WorkerStatus& worker) { return static_cast<double>(worker.restarts); });
}

}  // namespace

std::string to_metrics(const MasterStatus& status) {
  MetricsText metrics;
  metrics.add("handoff_age_seconds", "gauge", "Since the master started.", seconds(status.age));
  metrics.add("handoff_accepted_total", "counter", "Connections accepted.",
              static_cast<double>(status.accepted));
  metrics.add("handoff_waiting", "gauge", "Connections that no worker has room for.",
              static_cast<double>(status.waiting));
  if (status.queue) { add_queue(metrics, *status.queue); }
  metrics.add("handoff_reloads_total", "counter", "Reloads that were done.",
              static_cast<double>(status.reloads));
  add_calls(metrics, status.totals);
  add_methods(metrics, status.methods.by_name());
  add_rescued(metrics, status);
  add_workers(metrics, status);
  return std::move(metrics).text();
}

}  // namespace handoff

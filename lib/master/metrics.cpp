// SPDX-License-Identifier: MIT
#include "master/metrics.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace handoff {
namespace {

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

/// Values by the number of the worker.
using Values = std::map<int, double>;

/// Writes Prometheus' text format, version 0.0.4.
class Metrics {
 public:
  /// Begins a metric, whose samples follow.
  void begin(const char* name, const char* type, const char* help) {
    text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
  }
  void sample(const char* name, std::string_view label, std::string_view of, double value) {
    text_ += fmt::format("{}{{{}=\"{}\"}} {}\n", name, label, of, value);
  }
  void sample(const char* name, double value) { text_ += fmt::format("{} {}\n", name, value); }

  void add(const char* name, const char* type, const char* help, double value) {
    begin(name, type, help);
    sample(name, value);
  }
  /// Adds a sample for each worker's number: a worker that drains and its successor count together,
  /// with those in `former` that have ended.
  void add(const char* name, const char* type, const char* help,
           const std::vector<WorkerStatus>& workers,
           const std::function<double(const WorkerStatus&)>& value, Values former = {}) {
    for (const WorkerStatus& worker : workers) { former[worker.number] += value(worker); }
    begin(name, type, help);
    for (const auto& [number, sum] : former) {
      sample(name, "worker", std::to_string(number), sum);
    }
  }
  std::string text() && { return std::move(text_); }

 private:
  std::string text_;
};

void add_queue(Metrics& metrics, const Queue::Counts& queue) {
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

/// A bucket counts the calls that took no longer than its limit, and so also those of all buckets
/// before it.
void add_durations(Metrics& metrics, const ledger::Totals& totals) {
  metrics.begin("handoff_call_duration_seconds", "histogram",
                "How long calls took; instant ones only with a queue.");
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < ledger::kDurations; ++i) {
    count += totals.durations[i];
    const bool is_last = i + 1 == ledger::kDurations;
    const double limit = static_cast<double>(std::uint64_t{1} << i) / 1e6;
    metrics.sample("handoff_call_duration_seconds_bucket", "le",
                   is_last ? std::string("+Inf") : fmt::format("{}", limit),
                   static_cast<double>(count));
  }
  metrics.sample("handoff_call_duration_seconds_sum", static_cast<double>(totals.call_time) / 1e9);
  metrics.sample("handoff_call_duration_seconds_count", static_cast<double>(count));
}

void add_calls(Metrics& metrics, const ledger::Totals& totals) {
  metrics.add("handoff_requests_total", "counter", "Requests received.",
              static_cast<double>(totals.requests));
  metrics.begin("handoff_errors_total", "counter", "Errors that clients were answered.");
  for (std::size_t i = 0; i < totals.errors.size(); ++i) {
    metrics.sample("handoff_errors_total", "code", ledger::name_of_error_counter(i),
                   static_cast<double>(totals.errors[i]));
  }
  metrics.add("handoff_calls", "gauge", "Calls that have begun or wait.",
              static_cast<double>(totals.active_calls));
  add_durations(metrics, totals);
}

void add_rescued(Metrics& metrics, const MasterStatus& status) {
  constexpr const char* kRescued = "handoff_connections_rescued_total";
  metrics.begin(kRescued, "counter", "Connections of workers that died and that others serve on.");
  metrics.sample(kRescued, "how", "moved", static_cast<double>(status.rescued.moved));
  metrics.sample(kRescued, "how", "answered", static_cast<double>(status.rescued.answered));
  metrics.add("handoff_connections_lost_total", "counter",
              "Connections that ended with their worker, or could not be passed.",
              static_cast<double>(status.lost));
}

void add_workers(Metrics& metrics, const MasterStatus& status) {
  Values connections;
  Values requests;
  for (const auto& [number, former] : status.former) {
    connections[number] = static_cast<double>(former.connections);
    requests[number] = static_cast<double>(former.totals.requests);
  }
  const std::vector<WorkerStatus>& workers = status.workers;
  metrics.add(
      "handoff_worker_ready", "gauge", "Workers that are ready.", workers,
      [](const WorkerStatus& worker) { return worker.state == WorkerState::ready ? 1.0 : 0.0; });
  metrics.add("handoff_worker_connections", "gauge", "Connections held.", workers,
              [](const WorkerStatus& worker) { return static_cast<double>(worker.connections); });
  metrics.add(
      "handoff_worker_connections_total", "counter", "Connections passed.", workers,
      [](const WorkerStatus& worker) { return static_cast<double>(worker.passed); },
      std::move(connections));
  metrics.add(
      "handoff_worker_requests_total", "counter", "Requests.", workers,
      [](const WorkerStatus& worker) { return static_cast<double>(worker.totals.requests); },
      std::move(requests));
  metrics.add("handoff_worker_restarts_total", "counter", "Restarts after a death.", workers,
              [](const WorkerStatus& worker) { return static_cast<double>(worker.restarts); });
}

}  // namespace

std::string to_metrics(const MasterStatus& status) {
  Metrics metrics;
  metrics.add("handoff_age_seconds", "gauge", "Since the master started.", seconds(status.age));
  metrics.add("handoff_accepted_total", "counter", "Connections accepted.",
              static_cast<double>(status.accepted));
  metrics.add("handoff_waiting", "gauge", "Connections that no worker has room for.",
              static_cast<double>(status.waiting));
  metrics.add("handoff_refused_headers_total", "counter",
              "Connections closed for the header of their proxy.",
              static_cast<double>(status.refused_headers));
  if (status.queue) { add_queue(metrics, *status.queue); }
  metrics.add("handoff_reloads_total", "counter", "Reloads that were done.",
              static_cast<double>(status.reloads));
  add_calls(metrics, status.totals);
  add_rescued(metrics, status);
  add_workers(metrics, status);
  return std::move(metrics).text();
}

}  // namespace handoff

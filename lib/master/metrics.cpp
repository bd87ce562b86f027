// SPDX-License-Identifier: MIT
#include "master/metrics.hpp"

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace handoff {
namespace {

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

/// Prometheus' text format, version 0.0.4.
class Metrics {
 public:
  void add(const char* name, const char* type, const char* help, double value) {
    begin(name, type, help);
    text_ += fmt::format("{} {}\n", name, value);
  }
  /// One for each worker's number: one that drains and its successor count together.
  void add(const char* name, const char* type, const char* help,
           const std::vector<WorkerStatus>& workers,
           const std::function<double(const WorkerStatus&)>& value) {
    std::map<int, double> values;
    for (const WorkerStatus& worker : workers) values[worker.number] += value(worker);
    begin(name, type, help);
    for (const auto& [number, sum] : values) {
      text_ += fmt::format("{}{{worker=\"{}\"}} {}\n", name, number, sum);
    }
  }
  std::string text() && { return std::move(text_); }

 private:
  void begin(const char* name, const char* type, const char* help) {
    text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
  }

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

}  // namespace

std::string to_metrics(const MasterStatus& status) {
  Metrics metrics;
  metrics.add("handoff_age_seconds", "gauge", "Since the master started.", seconds(status.age));
  metrics.add("handoff_accepted_total", "counter", "Connections accepted.",
              static_cast<double>(status.accepted));
  metrics.add("handoff_waiting", "gauge", "Connections that no worker has room for.",
              static_cast<double>(status.waiting));
  if (status.queue) add_queue(metrics, *status.queue);
  metrics.add("handoff_reloads_total", "counter", "Reloads that were done.",
              static_cast<double>(status.reloads));
  metrics.add(
      "handoff_worker_ready", "gauge", "Workers that are ready.", status.workers,
      [](const WorkerStatus& worker) { return worker.state == WorkerState::ready ? 1.0 : 0.0; });
  metrics.add("handoff_worker_connections", "gauge", "Connections held.", status.workers,
              [](const WorkerStatus& worker) { return static_cast<double>(worker.connections); });
  metrics.add("handoff_worker_connections_total", "counter", "Connections passed.", status.workers,
              [](const WorkerStatus& worker) { return static_cast<double>(worker.passed); });
  metrics.add("handoff_worker_requests_total", "counter", "Requests.", status.workers,
              [](const WorkerStatus& worker) { return static_cast<double>(worker.requests); });
  metrics.add("handoff_worker_restarts_total", "counter", "Restarts after a death.", status.workers,
              [](const WorkerStatus& worker) { return static_cast<double>(worker.restarts); });
  return std::move(metrics).text();
}

}  // namespace handoff

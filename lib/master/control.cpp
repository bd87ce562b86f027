// SPDX-License-Identifier: MIT
#include "master/control.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "os/version.hpp"
#include "rpc/builtin_methods.hpp"
#include "rpc/method_table.hpp"
#include "rpc/session.hpp"
#include "wire/json_text.hpp"

namespace handoff {
namespace {

using nlohmann::ordered_json;

constexpr int kMaxWorkers = 4096;

/// How often it is seen to whether one of too many connections has become idle.
constexpr auto kRoomPause = std::chrono::milliseconds(20);

/// How long the connection of a `reload` or an `upgrade` may wait for its reply: as long as they
/// take, which has limits of its own.
SessionLimits control_limits() {
  SessionLimits limits;
  limits.call_timeout = Duration::zero();
  limits.idle_timeout = Control::kIdleTimeout;
  return limits;
}

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

ordered_json to_json(const WorkerStatus& worker) {
  ordered_json json = {{"worker", worker.number},           {"pid", worker.pid},
                       {"state", name_of(worker.state)},    {"joined", worker.joined},
                       {"connections", worker.connections}, {"connections_ever", worker.passed},
                       {"requests", worker.requests},       {"restarts", worker.restarts},
                       {"age", seconds(worker.age)},        {"last_exit", nullptr}};
  if (!worker.last_exit.empty()) json["last_exit"] = worker.last_exit;
  return json;
}

ordered_json to_json(const std::vector<WorkerStatus>& workers) {
  ordered_json json = ordered_json::array();
  for (const WorkerStatus& worker : workers) json.push_back(to_json(worker));
  return json;
}

/// A path that is no UTF-8 must not make the whole text invalid.
std::string to_text(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

ordered_json text_or_null(const std::string& text) {
  return text.empty() ? ordered_json() : ordered_json(text);
}

ordered_json to_json(const Queue::Counts& queue) {
  return {{"waiting", queue.waiting},
          {"running", queue.running},
          {"late", queue.late},
          {"redispatched", queue.redispatched},
          {"died", queue.died}};
}

ordered_json to_json(const MasterStatus& status) {
  return {{"state", status.state},
          {"pid", getpid()},
          {"version", kVersion},
          {"pass", status.pass},
          {"balance", text_or_null(status.balance)},
          {"listeners", status.listeners},
          {"age", seconds(status.age)},
          {"connections", status.connections},
          {"waiting", status.waiting},
          {"queue", status.queue ? to_json(*status.queue) : ordered_json()},
          {"accepted", status.accepted},
          {"reloads", status.reloads},
          {"last_reload_problem", text_or_null(status.last_reload)},
          {"last_upgrade_problem", text_or_null(status.last_upgrade)},
          {"workers", to_json(status.workers)}};
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

/// The number that params have under `name`, when that is all that they have.
std::optional<int> number_in(const std::string& params, const char* name) {
  const auto json = nlohmann::json::parse(params, nullptr, false);
  if (!json.is_object() || json.size() != 1 || !json.contains(name)) return std::nullopt;
  const auto& value = json[name];
  if (!value.is_number_integer() || value < 0 || value > 1000000) return std::nullopt;
  return value.get<int>();
}

Result invalid_params(const char* name) {
  return Result::error(ErrorCode::invalid_params,
                       fmt::format("params must be {{\"{}\": NUMBER}}", name));
}

Result done_or(const std::string& problem, const ControlOwner& owner) {
  if (!problem.empty()) return Result::error(ErrorCode::handler_failed, problem);
  const std::vector<WorkerStatus> workers = owner.status().workers;
  // One and its successor count once.
  std::set<int> serving;
  for (const WorkerStatus& worker : workers) {
    if (worker.state != WorkerState::draining) serving.insert(worker.number);
  }
  return Result::success(to_text({{"workers", serving.size()}}));
}

Task<Result> show(ControlOwner& owner, std::string (*render)(const MasterStatus&)) {
  co_await owner.refresh();
  co_return Result::success(render(owner.status()));
}

Task<Result> reload(ControlOwner& owner) {
  const std::string problem = co_await owner.reload();
  co_return done_or(problem, owner);
}

Task<Result> upgrade(ControlOwner& owner) {
  const std::string problem = co_await owner.upgrade();
  if (!problem.empty()) co_return Result::error(ErrorCode::handler_failed, problem);
  co_return Result::success("null");
}

Task<Result> drain_worker(ControlOwner& owner, Call call) {
  const auto worker = number_in(call.params, "worker");
  if (!worker) co_return invalid_params("worker");
  const std::string problem = co_await owner.drain(*worker);
  co_return done_or(problem, owner);
}

Task<Result> scale(ControlOwner& owner, Call call) {
  const auto workers = number_in(call.params, "workers");
  if (!workers) co_return invalid_params("workers");
  if (*workers < 1 || *workers > kMaxWorkers) {
    co_return Result::error(ErrorCode::invalid_params,
                            fmt::format("the number of workers is 1 to {}", kMaxWorkers));
  }
  const std::string problem = owner.scale(static_cast<std::size_t>(*workers));
  if (!problem.empty()) co_return Result::error(ErrorCode::handler_failed, problem);
  co_return Result::success(to_text({{"workers", *workers}}));
}

Task<Result> stop(ControlOwner& owner) {
  const std::string problem = co_await owner.stop();
  if (!problem.empty()) co_return Result::error(ErrorCode::handler_failed, problem);
  co_return Result::success("null");
}

std::shared_ptr<const MethodTable> make_method_table(ControlOwner& owner) {
  auto table = std::make_shared<MethodTable>();
  // What a client has started goes on without it: half of a reload would be worse than either.
  const auto add = [&table](const char* name, Handler handler) {
    table->add(name, std::move(handler), Supervision::handler);
  };
  add("status", [&owner](const Call&) {
    return show(owner, [](const MasterStatus& status) { return to_text(to_json(status)); });
  });
  add("workers", [&owner](const Call&) {
    return show(owner, [](const MasterStatus& status) { return to_text(to_json(status.workers)); });
  });
  add("metrics", [&owner](const Call&) {
    return show(owner, [](const MasterStatus& status) { return quote_json(to_metrics(status)); });
  });
  add("reload", [&owner](const Call&) { return reload(owner); });
  add("upgrade", [&owner](const Call&) { return upgrade(owner); });
  add("drain", [&owner](Call call) { return drain_worker(owner, std::move(call)); });
  add("scale", [&owner](Call call) { return scale(owner, std::move(call)); });
  add("stop", [&owner](const Call&) { return stop(owner); });
  add_built_in_methods(*table, 0);
  return table;
}

}  // namespace

Control::Control(Reactor& reactor, Listener listener, ControlOwner& owner, Report report,
                 PeerJudge judge)
    : Timer(reactor),
      report_failed_(reactor, saying(report, Severity::error)),
      service_(reactor, make_method_table(owner), control_limits()),
      acceptor_(reactor, std::move(listener), static_cast<AcceptorOwner&>(*this), std::move(report),
                std::move(judge), Judged::everybody) {
  service_.on_closed = [this](std::uint64_t) { acceptor_.resume(); };
  service_.on_failed = [this](std::string_view line) {
    report_failed_(fmt::format("control: {}", line));
  };
}

void Control::make_room() {
  if (service_.open <= kMaxConnections || service_.close_idlest()) return;
  set(service_.reactor.now() + kRoomPause);
}

void Control::drain() {
  acceptor_.close();
  service_.drain(false);
}

void Control::accepted(Connection connection) {
  Session::open(service_, std::move(connection));
  make_room();
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "master/status.hpp"

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <chrono>
#include <cmath>

#include "os/version.hpp"

namespace handoff {
namespace {

using nlohmann::ordered_json;

const char* name_of(MasterState state) {
  switch (state) {
    case MasterState::starting: return "starting";
    case MasterState::ready: return "ready";
    case MasterState::reloading: return "reloading";
    case MasterState::upgrading: return "upgrading";
    case MasterState::stopping: return "stopping";
  }
  return "";
}

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

ordered_json text_or_null(const std::string& text) {
  return text.empty() ? ordered_json() : ordered_json(text);
}

ordered_json problem_or_null(const Status& status) {
  return status.is_ok() ? ordered_json() : ordered_json(status.why());
}

/// Returns the text of the JSON. A path that is not UTF-8 does not make it invalid.
std::string to_text(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

/// Returns the counters of the errors that have occurred.
ordered_json errors_to_json(const ledger::Totals& totals) {
  ordered_json json = ordered_json::object();
  for (std::size_t i = 0; i < totals.errors.size(); ++i) {
    if (totals.errors[i] > 0) { json[ledger::name_of_error_counter(i)] = totals.errors[i]; }
  }
  return json;
}

/// Returns a pair for each counter that is not 0: the most seconds that its calls took, and how
/// many there were.
ordered_json durations_to_json(const ledger::Totals& totals) {
  ordered_json json = ordered_json::array();
  for (std::size_t i = 0; i < totals.durations.size(); ++i) {
    if (totals.durations[i] == 0) { continue; }
    json.push_back({std::ldexp(1e-6, static_cast<int>(i)), totals.durations[i]});
  }
  return json;
}

ordered_json to_json(const RescueCounts& rescued) {
  return {{"moved", rescued.moved}, {"answered", rescued.answered}, {"closed", rescued.closed}};
}

ordered_json to_json(const WorkerStatus& worker) {
  ordered_json json = {{"worker", worker.number},
                       {"pid", worker.pid},
                       {"state", name_of(worker.state)},
                       {"joined", worker.joined},
                       {"connections", worker.connections},
                       {"connections_ever", worker.passed},
                       {"requests", worker.totals.requests},
                       {"errors", errors_to_json(worker.totals)},
                       {"calls", worker.totals.active_calls},
                       {"restarts", worker.restarts},
                       {"age", seconds(worker.age)},
                       {"last_exit", nullptr}};
  if (!worker.last_exit.empty()) { json["last_exit"] = worker.last_exit; }
  return json;
}

ordered_json to_json(const std::vector<WorkerStatus>& workers) {
  ordered_json json = ordered_json::array();
  for (const WorkerStatus& worker : workers) { json.push_back(to_json(worker)); }
  return json;
}

ordered_json to_json(const Queue::Counts& queue) {
  return {{"waiting", queue.waiting},
          {"running", queue.running},
          {"late", queue.late},
          {"redispatched", queue.redispatched},
          {"died", queue.died}};
}

}  // namespace

std::string to_json_text(const MasterStatus& status) {
  return to_text({{"state", name_of(status.state)},
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
                  {"requests", status.totals.requests},
                  {"errors", errors_to_json(status.totals)},
                  {"calls", status.totals.active_calls},
                  {"durations", durations_to_json(status.totals)},
                  {"rescued", to_json(status.rescued)},
                  {"lost", status.lost},
                  {"refused_headers", status.refused_headers},
                  {"reloads", status.reloads},
                  {"last_reload_problem", problem_or_null(status.last_reload)},
                  {"last_upgrade_problem", problem_or_null(status.last_upgrade)},
                  {"workers", to_json(status.workers)}});
}

std::string to_json_text(const std::vector<WorkerStatus>& workers) {
  return to_text(to_json(workers));
}

}  // namespace handoff

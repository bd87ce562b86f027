// SPDX-License-Identifier: MIT
#include "master/control.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "master/metrics.hpp"
#include "rpc/builtin_methods.hpp"
#include "rpc/method_table.hpp"
#include "rpc/session.hpp"
#include "wire/json_text.hpp"

namespace handoff {
namespace {

constexpr int kMaxWorkers = 4096;

/// The pause between two looks for an idle connection while there are too many.
constexpr auto kRoomPause = std::chrono::milliseconds(20);

/// A call has no deadline here, because `reload` and `upgrade` take as long as they take, with
/// limits of their own.
SessionLimits control_limits() {
  SessionLimits limits;
  limits.call_timeout = Duration::zero();
  limits.idle_timeout = Control::kIdleTimeout;
  return limits;
}

/// Returns the number that params are, or that they have under `name` and nothing else.
std::optional<int> number_in(const std::string& params, const char* name) {
  const auto json = nlohmann::json::parse(params, nullptr, false);
  const bool is_named = json.is_object() && json.size() == 1 && json.contains(name);
  const auto& value = is_named ? json[name] : json;
  if (!value.is_number_integer() || value < 0 || value > 1000000) { return std::nullopt; }
  return value.get<int>();
}

Result invalid_params(const char* name) {
  return Result::error(ErrorCode::invalid_params,
                       fmt::format("params must be NUMBER or {{\"{}\": NUMBER}}", name));
}

/// Returns the result of a method, or the error that says why it failed.
Result result_of(const Status& status, std::string json) {
  if (!status.is_ok()) { return Result::error(ErrorCode::handler_failed, status.why()); }
  return Result::success(std::move(json));
}

/// Returns {"workers": N} with the number of workers that serve.
std::string count_workers(const ControlOwner& owner) {
  const std::vector<WorkerStatus> workers = owner.status().workers;
  // A worker and its successor have the same number, and count once.
  std::set<int> serving;
  for (const WorkerStatus& worker : workers) {
    if (worker.state != WorkerState::draining) { serving.insert(worker.number); }
  }
  return fmt::format("{{\"workers\":{}}}", serving.size());
}

// The master, which is the owner, outlives the calls on its control socket.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Result> show(ControlOwner& owner, std::string (*render)(const MasterStatus&)) {
  co_await owner.refresh();
  co_return Result::success(render(owner.status()));
}

// The owner outlives the calls.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Result> reload(ControlOwner& owner) {
  const Status status = co_await owner.reload();
  Result result = result_of(status, count_workers(owner));
  co_return result;
}

// The owner outlives the calls.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Result> upgrade(ControlOwner& owner) {
  const Status status = co_await owner.upgrade();
  Result result = result_of(status, "null");
  co_return result;
}

// The owner outlives the calls.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Result> drain_worker(ControlOwner& owner, Call call) {
  const auto worker = number_in(call.params, "worker");
  if (!worker) { co_return invalid_params("worker"); }
  const Status status = co_await owner.drain(*worker);
  Result result = result_of(status, count_workers(owner));
  co_return result;
}

Result scale(ControlOwner& owner, const Call& call) {
  const auto workers = number_in(call.params, "workers");
  if (!workers) { return invalid_params("workers"); }
  if (*workers < 1 || *workers > kMaxWorkers) {
    return Result::error(ErrorCode::invalid_params,
                         fmt::format("the number of workers is 1 to {}", kMaxWorkers));
  }
  const Status status = owner.scale(static_cast<std::size_t>(*workers));
  return result_of(status, fmt::format("{{\"workers\":{}}}", *workers));
}

// The owner outlives the calls.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Result> scale_workers(ControlOwner& owner, Call call) {
  Result result = scale(owner, call);
  co_return result;
}

// The owner outlives the calls.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Result> stop(ControlOwner& owner) {
  const Status status = co_await owner.stop();
  Result result = result_of(status, "null");
  co_return result;
}

std::shared_ptr<const MethodTable> make_method_table(ControlOwner& owner) {
  auto table = std::make_shared<MethodTable>();
  // A change goes on when its client has left: half of a reload would be worse than either.
  const auto add = [&table](const char* name, Handler handler) {
    table->add(name, std::move(handler), Supervision::handler);
  };
  add("status", [&owner](const Call&) {
    return show(owner, [](const MasterStatus& status) { return to_json_text(status); });
  });
  add("workers", [&owner](const Call&) {
    return show(owner, [](const MasterStatus& status) { return to_json_text(status.workers); });
  });
  add("metrics", [&owner](const Call&) {
    return show(owner, [](const MasterStatus& status) { return quote_json(to_metrics(status)); });
  });
  add("reload", [&owner](const Call&) { return reload(owner); });
  add("upgrade", [&owner](const Call&) { return upgrade(owner); });
  add("drain", [&owner](Call call) { return drain_worker(owner, std::move(call)); });
  add("scale", [&owner](Call call) { return scale_workers(owner, std::move(call)); });
  add("stop", [&owner](const Call&) { return stop(owner); });
  add_built_in_methods(*table, 0);
  return table;
}

}  // namespace

Control::Control(Reactor& reactor, Listener listener, ControlOwner& owner, Report report,
                 PeerJudge judge)
    : Timer(reactor),
      report_failed_(reactor, saying(report, Severity::error)),
      context_(reactor, make_method_table(owner), control_limits(), served()),
      finishing_(reactor),
      acceptor_(reactor, std::move(listener),
                {.accepted = [this](Connection connection) { serve(std::move(connection)); },
                 .has_room = [this] { return context_.open_connections() <= kMaxConnections; }},
                std::move(report), std::move(judge), Judged::everybody) {}

ServerContext::Owner Control::served() {
  ServerContext::Owner owner;
  owner.closed = [this](std::uint64_t, CloseReason) {
    acceptor_.resume();
    finishing_.notify_all();
  };
  owner.failed = [this](std::string_view line) {
    report_failed_(fmt::format("control: {}", line));
  };
  return owner;
}

void Control::make_room() {
  if (context_.open_connections() <= kMaxConnections || context_.close_idlest()) { return; }
  set(context_.reactor().now() + kRoomPause);
}

void Control::open() {
  if (acceptor_.is_idle()) { context_.reactor().spawn(acceptor_.run()); }
}

Task<void> Control::finish(Duration patience) {
  acceptor_.close();
  context_.drain(WhenDrained::close);
  finishing_.notify_all();
  const TimePoint limit = Clock::now() + patience;
  co_await finishing_.wait_until([this] { return context_.open_connections() == 0; }, limit);
}

Task<void> Control::until_finishing() {
  co_await finishing_.wait_until([this] { return context_.draining(); });
}

void Control::serve(Connection connection) {
  Session::open(context_, std::move(connection));
  make_room();
}

}  // namespace handoff

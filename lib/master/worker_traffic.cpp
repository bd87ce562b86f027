// SPDX-License-Identifier: MIT
#include "master/worker_traffic.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include <handoff/os/error.hpp>

namespace handoff {
namespace {

/// The time in which a worker must report how many requests it has had.
constexpr auto kAnswerTime = std::chrono::milliseconds(200);

}  // namespace

WorkerTraffic::WorkerTraffic(Reactor& reactor, AlarmClock& clock, Balancer& balancer, Report report,
                             std::function<void()> has_room)
    : reactor_(reactor),
      clock_(clock),
      balancer_(balancer),
      report_(std::move(report)),
      report_lost_(reactor, saying(report_, Severity::error)),
      has_room_(std::move(has_room)),
      all_answered_(reactor) {
  reactor_.add(*this);
}

LifeEvents WorkerTraffic::life_events() {
  LifeEvents events;
  events.ready = [this](WorkerChannel& link) { worker_of(link).ready(); };
  events.would_leave = [this](WorkerChannel& link) { worker_of(link).asks_to_leave(); };
  events.requests_told = [this](WorkerChannel& link) { requests_told(link); };
  events.closed = [this](WorkerChannel& link, const Status& how) { closed(link, how); };
  return events;
}

TrafficEvents WorkerTraffic::traffic_events() {
  TrafficEvents events;
  events.has_room = [this](WorkerChannel& link) { has_room(link); };
  events.connections_returned = [this](WorkerChannel&, std::vector<HeldConnection> all) {
    connections_returned(std::move(all));
  };
  events.rescued = [this](WorkerChannel& link, const RescueCounts& counts) {
    rescued(link, counts);
  };
  events.connections_lost = [this](WorkerChannel& link, std::size_t count) {
    connections_lost(link, count);
  };
  events.accepted = [this](std::size_t count) { accepted_ += count; };
  events.assigned_changed = [this](std::ptrdiff_t change) {
    held_ += static_cast<std::size_t>(change);
  };
  events.send_failed = [this](WorkerChannel& link, std::size_t connections, int error) {
    send_failed(link, connections, error);
  };
  events.passes_on = [this] { return passes_on(); };
  return events;
}

void WorkerTraffic::add(SupervisedWorker& worker) {
  workers_.emplace(worker.link().get(), &worker);
}

void WorkerTraffic::remove(SupervisedWorker& worker) {
  const WorkerChannel* link = worker.link().get();
  held_ -= link->assigned();
  if (!link->has_joined()) {
    lost_ever_ += link->assigned();  // its process has ended
  }
  FormerWorkers& former = former_[link->number()];
  former.connections += link->connections_total();
  former.totals += link->totals();
  former.totals.active_calls = 0;
  former.methods = std::move(link->method_totals() += former.methods);
  workers_.erase(link);
  if (asked_.erase(link) > 0 && asked_.empty()) { all_answered_.notify_all(); }
}

ledger::Totals WorkerTraffic::totals() const {
  ledger::Totals sum;
  for (const auto& [number, former] : former_) { sum += former.totals; }
  for (const auto& [link, worker] : workers_) { sum += link->totals(); }
  sum.errors[ledger::error_counter(ErrorCode::worker_died)] += rescued_.answered;
  return sum;
}

ledger::MethodTotals WorkerTraffic::method_totals() const {
  std::map<int, ledger::MethodTotals> numbers;
  for (const auto& [link, worker] : workers_) { numbers[link->number()] += link->method_totals(); }
  for (const auto& [number, former] : former_) { numbers[number] += former.methods; }
  return ledger::MethodTotals::of_all(numbers);
}

Task<void> WorkerTraffic::ask_for_requests() {
  for (const auto& [link, worker] : workers_) {
    if (!link->is_full() || !link->open() || !link->knows_more()) { continue; }
    if (worker->phase() == WorkerPhase::starting) { continue; }
    asked_.insert(link);
    worker->link()->ask_for_requests();
  }
  bool in_time = true;
  const auto alarm = clock_.call_at(clock_.now() + kAnswerTime, [this, &in_time] {
    in_time = false;
    all_answered_.notify_all();
  });
  while (!asked_.empty() && in_time) { co_await all_answered_.wait(); }
  asked_.clear();
}

void WorkerTraffic::has_room(WorkerChannel& link) {
  balancer_.room_changed(link);
  has_room_();
}

/// When all workers close what they have, no other worker will have room: each connection is passed
/// at once.
void WorkerTraffic::connections_returned(std::vector<HeldConnection> all) {
  for (HeldConnection& held : all) { balancer_.pass(std::move(held)); }
  has_passed_on_ = true;
  if (balancer_.retirement() == Retirement::closing) { balancer_.pass_all(); }
}

/// Sends what was passed on in the turn that is over: several workers return connections at the
/// same time, and a message carries 16 of them.
bool WorkerTraffic::poll() {
  if (std::exchange(has_passed_on_, false)) { balancer_.flush(); }
  return false;
}

void WorkerTraffic::requests_told(const WorkerChannel& link) {
  worker_of(link).answered();
  if (asked_.erase(&link) > 0 && asked_.empty()) { all_answered_.notify_all(); }
}

void WorkerTraffic::closed(const WorkerChannel& link, const Status& how) {
  if (how.is_ok()) { return worker_of(link).channel_closed(); }
  worker_of(link).protocol_broken(how.why());
}

/// A worker that had no connections needs no line in the log.
void WorkerTraffic::rescued(const WorkerChannel& link, const RescueCounts& counts) {
  rescued_.moved += counts.moved;
  rescued_.answered += counts.answered;
  rescued_.closed += counts.closed;
  if (counts.moved + counts.answered + counts.closed == 0) { return; }
  report_(Severity::error,
          fmt::format("{}: {} moved, {} answered with an error, {} closed", worker_of(link).name(),
                      counted(counts.moved, "connection"), counts.answered, counts.closed));
}

void WorkerTraffic::connections_lost(const WorkerChannel& link, std::size_t count) {
  count_lost(count);
  report_(Severity::error,
          fmt::format("cannot receive {} from {}: {}", counted(count, "connection"),
                      worker_of(link).name(), error_text(EMFILE)));
}

void WorkerTraffic::send_failed(const WorkerChannel& link, std::size_t connections, int error) {
  const std::string name = worker_of(link).name();
  const std::string why = error_text(error);
  if (connections == 0) {
    return report_lost_(fmt::format("cannot send to {}: {}; its channel is closed", name, why));
  }
  count_lost(connections);
  report_lost_(fmt::format("cannot pass {} to {}: {}; closed", counted(connections, "connection"),
                           name, why));
}

void WorkerTraffic::count_lost(std::size_t count) {
  lost_ever_ += count;
  if (balancer_.retirement() != Retirement::none) { lost_ += count; }
}

bool WorkerTraffic::passes_on() const {
  if (balancer_.retirement() == Retirement::handing_over) { return !balancer_.is_empty(); }
  return balancer_.retirement() == Retirement::none;
}

}  // namespace handoff

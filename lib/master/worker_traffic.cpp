// SPDX-License-Identifier: MIT
#include "master/worker_traffic.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <utility>

#include "os/error.hpp"

namespace handoff {
namespace {

/// How long a worker may take to say how many requests it has had.
constexpr auto kAnswerTime = std::chrono::milliseconds(200);

}  // namespace

WorkerTraffic::WorkerTraffic(Reactor& reactor, AlarmClock& clock, Dispatcher& dispatcher,
                             Report report, std::function<void()> has_room)
    : clock_(clock),
      dispatcher_(dispatcher),
      report_(std::move(report)),
      report_lost_(reactor, saying(report_, Severity::error)),
      has_room_(std::move(has_room)),
      all_answered_(reactor) {}

void WorkerTraffic::add(SupervisedWorker& worker) {
  workers_.emplace(worker.link().get(), &worker);
}

void WorkerTraffic::remove(SupervisedWorker& worker) {
  const WorkerChannel* link = worker.link().get();
  held_ -= link->assigned();
  workers_.erase(link);
  if (asked_.erase(link) > 0 && asked_.empty()) all_answered_.notify_all();
}

Task<void> WorkerTraffic::ask_for_requests() {
  for (const auto& [link, worker] : workers_) {
    if (!link->is_full() || !link->open()) continue;
    if (worker->phase() == WorkerPhase::starting) continue;
    asked_.insert(link);
    worker->link()->ask_for_requests();
  }
  bool in_time = true;
  const auto alarm = clock_.call_at(clock_.now() + kAnswerTime, [this, &in_time] {
    in_time = false;
    all_answered_.notify_all();
  });
  while (!asked_.empty() && in_time) co_await all_answered_.wait();
  asked_.clear();
}

void WorkerTraffic::worker_has_room(WorkerChannel& link) {
  dispatcher_.worker_has_room(link);
  has_room_();
}

void WorkerTraffic::connection_returned(WorkerChannel& link, HeldConnection held) {
  try {
    dispatcher_.work_arrived(std::move(held));
  } catch (const std::exception& error) {
    lose(1, fmt::format("cannot take back a connection from {}: {}; it is closed",
                        worker_of(link).name(), error.what()));
  }
  // When all close what they have, the one that gets it now is the last: room or not.
  if (retirement_ == Retirement::closing) dispatcher_.flush_all();
}

void WorkerTraffic::requests_told(WorkerChannel& link) {
  worker_of(link).answered();
  if (asked_.erase(&link) > 0 && asked_.empty()) all_answered_.notify_all();
}

void WorkerTraffic::worker_closed(WorkerChannel& link, const std::string& problem) {
  if (problem.empty()) return worker_of(link).channel_closed();
  worker_of(link).protocol_broken(problem);
}

void WorkerTraffic::connections_lost(WorkerChannel& link, std::size_t count) {
  if (retirement_ != Retirement::none) lost_ += count;
  report_(Severity::error,
          fmt::format("cannot receive {} from {}: {}", counted(count, "connection"),
                      worker_of(link).name(), error_text(EMFILE)));
}

void WorkerTraffic::send_failed(WorkerChannel& link, std::size_t connections, int error) {
  const std::string name = worker_of(link).name();
  const std::string why = error_text(error);
  if (connections == 0) {
    return report_lost_(fmt::format("cannot send to {}: {}; its channel is closed", name, why));
  }
  lose(connections, fmt::format("cannot pass {} to {}: {}; closed",
                                counted(connections, "connection"), name, why));
}

void WorkerTraffic::lose(std::size_t connections, const std::string& line) {
  if (retirement_ != Retirement::none) lost_ += connections;
  report_lost_(line);
}

bool WorkerTraffic::passes_on() const {
  if (retirement_ == Retirement::handing_over) return dispatcher_.has_takers();
  return retirement_ == Retirement::none;
}

}  // namespace handoff

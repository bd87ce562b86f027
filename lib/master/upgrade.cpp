// SPDX-License-Identifier: MIT
#include "master/upgrade.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>
#include <vector>

#include "async/fd_watcher.hpp"
#include "async/stream.hpp"
#include "os/error.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// The time in which a successor that has closed its channel may end by itself, so that its exit
/// status tells why.
constexpr auto kEndPatience = std::chrono::seconds(1);

}  // namespace

///                   spawning  waiting_for_ready  ready       taken_over  stopping
///     spawned       waiting_  -                  -           -           -
///                   for_ready
///     not_spawned   failed    -                  -           -           -
///     ready         -         ready              -           -           -
///     timed_out     -         failed             -           -           -
///     closed        -         failed             failed      gone        gone
///     take_over     -         -                  taken_over  -           -
///     master_stops  failed    failed             failed      stopping    -
///
/// Nothing changes `gone` and `failed`.
UpgradePhase next_phase(UpgradePhase phase, UpgradeEvent event) {
  using Phase = UpgradePhase;
  using Happened = UpgradeEvent;
  switch (phase) {
    case Phase::spawning:
      if (event == Happened::spawned) { return Phase::waiting_for_ready; }
      return event == Happened::not_spawned || event == Happened::master_stops ? Phase::failed
                                                                               : phase;
    case Phase::waiting_for_ready:
      if (event == Happened::ready) { return Phase::ready; }
      return event == Happened::timed_out || event == Happened::closed ||
                     event == Happened::master_stops
                 ? Phase::failed
                 : phase;
    case Phase::ready:
      if (event == Happened::take_over) { return Phase::taken_over; }
      return event == Happened::closed || event == Happened::master_stops ? Phase::failed : phase;
    case Phase::taken_over:
      if (event == Happened::master_stops) { return Phase::stopping; }
      return event == Happened::closed ? Phase::gone : phase;
    case Phase::stopping: return event == Happened::closed ? Phase::gone : phase;
    case Phase::gone:
    case Phase::failed: return phase;
  }
  return phase;
}

Upgrade::Upgrade(Reactor& reactor, Balancer& balancer, std::shared_ptr<Custody> custody,
                 const Report& report)
    : reactor_(reactor),
      balancer_(balancer),
      custody_(std::move(custody)),
      report_(report),
      progress_(reactor) {}

Upgrade::~Upgrade() = default;

/// The only function that changes the phase.
void Upgrade::take(UpgradeEvent event) {
  const UpgradePhase before = std::exchange(phase_, next_phase(phase_, event));
  if (phase_ == UpgradePhase::failed && before != phase_) { failure_ = event; }
  progress_.notify_all();
}

Task<Status> Upgrade::start(SpawnSuccessor spawn_successor, Duration ready_timeout) {
  const Status spawned = spawn(spawn_successor);
  if (!spawned.is_ok()) { co_return spawned; }
  const TimePoint limit = deadline_after(reactor_.now(), ready_timeout);
  const bool in_time = co_await progress_.wait_until(
      [this] { return phase_ != UpgradePhase::waiting_for_ready; }, limit);
  if (!in_time) { take(UpgradeEvent::timed_out); }
  if (phase_ == UpgradePhase::ready) { co_return Status::ok(); }
  std::optional<std::string> problem;
  switch (failure_) {
    case UpgradeEvent::master_stops: problem = "this master stops, killed"; break;
    case UpgradeEvent::timed_out:
      problem = fmt::format("not ready within {}, killed", in_words(ready_timeout));
      break;
    default: problem = co_await describe_end(); break;
  }
  const ExitStatus status = process_->kill_and_reap();
  link_->end();
  if (!problem) { problem = status.text() + ", before it was ready"; }
  const Status failure =
      Status::failure(fmt::format("the new master, pid {}: {}", process_->pid(), *problem));
  co_return failure;
}

Status Upgrade::spawn(const SpawnSuccessor& spawn_successor) {
  try {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    process_ = spawn_successor(std::move(theirs));
    link_ = std::make_shared<WorkerChannel>(reactor_, life_events(), traffic_events(), custody_,
                                            Handshake::full, 0, std::move(ours));
    link_->start();
  } catch (const std::exception& error) {
    if (process_) {
      process_->kill_and_reap();  // otherwise it would serve, as if this master had died
    }
    take(UpgradeEvent::not_spawned);
    return Status::failure(error.what());
  }
  take(UpgradeEvent::spawned);
  return Status::ok();
}

/// Returns why a successor has closed its channel; nothing if it ends, so that its status tells.
Task<std::optional<std::string>> Upgrade::describe_end() {
  std::optional<std::string> problem;
  if (!channel_end_.is_ok()) {
    problem = channel_end_.why();
    co_return problem;
  }
  FdWatcher exited(reactor_, process_->ended_fd());
  WaitTimeout patience(exited, reactor_.now() + kEndPatience);
  const bool ended = process_->has_ended() || co_await exited.readable();
  if (!ended) { problem = "it closed its channel, killed"; }
  co_return problem;
}

void Upgrade::take_over() {
  take(UpgradeEvent::take_over);
  link_->give_names();
  balancer_.add(*link_);
}

bool Upgrade::is_done() const {
  return phase_ == UpgradePhase::gone || (link_->unacknowledged() == 0 && balancer_.waiting() == 0);
}

Task<void> Upgrade::until_done() {
  co_await progress_.wait_until([this] { return is_done(); });
}

LifeEvents Upgrade::life_events() {
  LifeEvents events;
  events.ready = [this](WorkerChannel&) { take(UpgradeEvent::ready); };
  events.closed = [this](WorkerChannel& link, const Status& how) { closed(link, how); };
  return events;
}

TrafficEvents Upgrade::traffic_events() {
  TrafficEvents events;
  events.has_room = [this](WorkerChannel& link) {
    balancer_.room_changed(link);
    progress_.notify_all();
  };
  events.connections_returned = [this](WorkerChannel&, std::vector<HeldConnection> all) {
    balancer_.pass_on(std::move(all));
  };
  events.send_failed = [this](WorkerChannel&, std::size_t connections, int error) {
    report_(Severity::error, fmt::format("cannot pass {} to the new master: {}",
                                         counted(connections, "connection"), error_text(error)));
  };
  return events;
}

void Upgrade::closed(WorkerChannel& link, const Status& how) {
  channel_end_ = how;
  const UpgradePhase before = phase_;
  take(UpgradeEvent::closed);
  if (phase_ != UpgradePhase::gone) { return; }
  balancer_.take_back(link, {Reach::on_its_way});
  if (before == UpgradePhase::taken_over) {
    report_(Severity::error, "cannot upgrade: the new master is gone");
  }
  progress_.notify_all();
}

}  // namespace handoff

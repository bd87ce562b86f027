// SPDX-License-Identifier: MIT
#include "master/worker_roster.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "async/fd_watcher.hpp"
#include "async/race.hpp"
#include "os/error.hpp"
#include "os/peer.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// The pause between two looks at a worker whose end epoll cannot report.
constexpr auto kWatchPause = std::chrono::milliseconds(100);

/// The time that the process of a worker that has joined may live on after its channel was closed,
/// if it is dying.
constexpr auto kDying = std::chrono::seconds(1);

/// The most lines about workers that have joined within a second: several may leave at once, and
/// one that joins again and again must not flood the log.
constexpr std::size_t kJoinedBurst = 32;

}  // namespace

WorkerRoster::WorkerRoster(Reactor& reactor, AlarmClock& clock, PassMode& mode, Balancer& balancer,
                           std::shared_ptr<Custody> custody, SpawnWorker spawn,
                           const SupervisorOptions& options, Report report,
                           WorkerListener& listener, std::function<void()> has_room)
    : reactor_(reactor),
      clock_(clock),
      mode_(mode),
      custody_(std::move(custody)),
      spawn_(std::move(spawn)),
      handshake_(options.handshake),
      report_joined_left_(reactor, saying(report, Severity::info), kJoinedBurst),
      report_joined_trouble_(reactor, saying(report, Severity::error), kJoinedBurst),
      report_unwatched_(reactor, saying(report, Severity::error)),
      traffic_(reactor, clock, balancer, report, std::move(has_room)),
      context_{reactor,
               clock,
               mode,
               listener,
               options.ready_timeout,
               options.drain_timeout,
               options.hang_timeout,
               std::move(report),
               [this](std::string_view line) { report_joined_left_(line); },
               [this](std::string_view line) { report_joined_trouble_(line); }} {
  if (options.hang_timeout <= Duration::zero()) { return; }
  reactor_.spawn(watch_answers(std::max<Duration>(options.hang_timeout / AnswerWatch::kQuarters,
                                                  std::chrono::milliseconds(1))));
}

WorkerRoster::Worker WorkerRoster::spawn(int number) {
  const int type = handshake_ == Handshake::full ? SOCK_SEQPACKET : SOCK_STREAM;
  auto [ours, theirs] = make_socket_pair(type);
  auto process = spawn_(number, theirs, mode_.inheritance());
  ++spawned_;
  auto link =
      std::make_shared<WorkerChannel>(reactor_, traffic_.life_events(), traffic_.traffic_events(),
                                      custody_, handshake_, number, std::move(ours));
  auto worker =
      std::make_shared<SupervisedWorker>(context_, WorkerId{number, ++last_incarnation_},
                                         std::move(link), std::move(process), leave_signal());
  take_in(worker);
  worker->link()->start();
  reactor_.spawn(run_spawned(worker));
  return worker;
}

/// A worker that has listeners from its start, and knows no messages, may have closed a channel
/// that means nothing to it.
LeaveSignal WorkerRoster::leave_signal() const {
  return handshake_ == Handshake::none && !mode_.inheritance().empty()
             ? LeaveSignal::message_and_term
             : LeaveSignal::message;
}

/// If epoll has no room for the descriptor, the end of the process is not noticed.
// The reactor outlives the tasks that it runs.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<bool> WorkerRoster::has_ended(Reactor& reactor, int process) {
  FdWatcher exited(reactor, process);
  try {
    co_await exited.readable();
  } catch (const SystemError&) { co_return false; }
  co_return true;
}

void WorkerRoster::adopt(int number, Fd channel) {
  if (joined() >= kMaxJoined) {
    return report_joined_trouble_(fmt::format("join: {} workers are the limit", kMaxJoined));
  }
  const pid_t peer = peer_credentials(channel.get()).pid;
  Fd process = peer_process(channel.get());
  const WorkerOrigin origin =
      process.valid() ? WorkerOrigin::joined : WorkerOrigin::joined_from_elsewhere;
  auto link =
      std::make_shared<WorkerChannel>(reactor_, traffic_.life_events(), traffic_.traffic_events(),
                                      custody_, handshake_, number, std::move(channel), origin);
  auto worker = std::make_shared<SupervisedWorker>(context_, WorkerId{number, ++last_incarnation_},
                                                   std::move(link), peer);
  take_in(worker);
  reactor_.spawn(run_joined(worker, std::move(process)));
  worker->link()->start();
  // A worker that gets a message of this master knows that it is not refused.
  worker->link()->ask_for_requests();
}

void WorkerRoster::take_in(const Worker& worker) {
  workers_.push_back(worker);
  custody_->set_workers(workers_.size());
  traffic_.add(*worker);
}

/// The task runs from the worker's start until it is reaped.
Task<void> WorkerRoster::run_spawned(Worker worker) {
  if (!worker->link()->is_full()) { worker->ready(); }
  co_await leader_end(*worker);
  worker->leader_ended();
  co_await receive_rest_and_end(worker);
}

// run_spawned shares the worker, and awaits this task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> WorkerRoster::leader_end(SupervisedWorker& worker) {
  FdWatcher exited(reactor_, worker.exit_fd());
  while (!worker.leader_has_ended()) {
    try {
      co_await exited.readable();
      continue;
    } catch (const SystemError& error) {
      report_unwatched_(fmt::format("{}: {}; trying again", worker.name(), error.what()));
    }
    co_await pause(clock_, reactor_, kWatchPause);
  }
}

/// The task runs from the worker's joining until it is gone. A channel that is closed does not mean
/// that the worker is dead: it may go on serving what it has. Nor need the channel be closed when
/// the worker has died.
Task<void> WorkerRoster::run_joined(Worker worker, Fd process) {
  const auto gone = std::make_shared<Cancellation>();
  if (process.valid()) { reactor_.spawn(watch_process(*this, worker, std::move(process), gone)); }
  if (!worker->link()->is_full()) { worker->ready(); }
  co_await worker->over();
  if (worker->link()->kept() > 0 && !worker->joined_process_has_ended()) {
    const EventTimeout alarm(reactor_, worker->process_end(), reactor_.now() + kDying);
    co_await worker->process_end();
  }
  gone->cancel();
  co_await receive_rest_and_end(worker);
}

// The reactor destroys its tasks at the end of its run, before the roster goes.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> WorkerRoster::watch_process(WorkerRoster& roster, Worker worker, Fd process,
                                       std::shared_ptr<Cancellation> gone) {
  Reactor& reactor = roster.reactor_;
  const auto ended = co_await race(reactor, has_ended(reactor, process.get()), kNever, gone.get());
  // Without a ledger, the process that has connected may have given its end of the channel to
  // another one.
  if (ended.value.value_or(false) && worker->link()->has_ledger()) {
    worker->joined_process_ended();
  }
}

void WorkerRoster::drop_touched_luggage() {
  for (const Worker& worker : workers_) { worker->link()->drop_touched_luggage(); }
}

/// Connections that it has returned are still in its channel, and go to others.
Task<void> WorkerRoster::receive_rest_and_end(Worker worker) {
  co_await worker->over();
  co_await WorkerChannel::receive_rest(worker->link());
  worker->end();
  traffic_.remove(*worker);
  std::erase(workers_, worker);
  custody_->set_workers(workers_.size());
  context_.listener.worker_ended(*worker);
}

void WorkerRoster::child_ended() {
  for (const Worker& worker : workers_) { worker->child_ended(); }
}

/// The task runs as long as the roster. A look that is late by more than a quarter is one of a
/// master that was suspended.
Task<void> WorkerRoster::watch_answers(Duration quarter) {
  for (;;) {
    const TimePoint due = clock_.now() + quarter;
    co_await pause(clock_, reactor_, quarter);
    judge_answers(clock_.now() - due > quarter ? AnswerWatch::Look::late
                                               : AnswerWatch::Look::in_time);
  }
}

void WorkerRoster::judge_answers(AnswerWatch::Look look) {
  for (const Worker& worker : std::vector(workers_)) { worker->quarter_passed(look); }
}

std::size_t WorkerRoster::joined() const {
  return static_cast<std::size_t>(std::count_if(
      workers_.begin(), workers_.end(), [](const Worker& worker) { return worker->has_joined(); }));
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
// The functions of Master that signals and the control methods call.
#include <fmt/format.h>

#include <csignal>
#include <utility>

#include <handoff/os/error.hpp>

#include "async/signal_watcher.hpp"
#include "master/master.hpp"

namespace handoff {
Task<void> Master::watch_signals() {
  supervisor_.children_ended();  // no signal announces those that ended before
  return handoff::watch_signals(reactor_, signals_,
                                [this](const ReceivedSignal& signal) { handle_signal(signal); });
}

void Master::handle_signal(const ReceivedSignal& signal) {
  if (signal.number == SIGCHLD) { return supervisor_.children_ended(); }
  if (has_handed_over() && lineage_->role() != Lineage::Role::managed) {
    lineage_->forward(signal);
    if (!is_stop(signal.number) && signal.number != SIGUSR1) { return; }
  }
  switch (signal.number) {
    case SIGTERM:
    case SIGINT:
    case SIGQUIT: return stop_asked(signal.sender);
    case SIGHUP:
      if (upgrade_ && phases_.may_change()) {
        report_(Severity::info, "the reload is put off: an upgrade is under way");
        return reactor_.spawn(reload_after_upgrade());
      }
      return reactor_.spawn(ignore(reload()));
    case SIGUSR2:
      if (upgrade_ && phases_.may_change()) { return report_(Severity::info, "upgrading already"); }
      return reactor_.spawn(ignore(upgrade()));
    case SIGTTIN: return add_worker();
    case SIGTTOU: return remove_worker();
    case SIGUSR1: return reactor_.spawn(log_status());
    default: return;
  }
}

void Master::add_worker() {
  if (!phases_.goes_on()) { return; }
  if (options_.supervisor.command.empty()) {
    return report_(Severity::error, "cannot add a worker: there is no command to start");
  }
  supervisor_.add();
}

void Master::remove_worker() {
  if (phases_.goes_on() && !supervisor_.retire_one()) {
    report_(Severity::error, "cannot remove a worker: the last one stays");
  }
}

void Master::stop_asked(pid_t sender) {
  const bool again = lineage_->stop_asked(sender) > 1;
  take(again ? MasterEvent::stop_again : MasterEvent::stop);
}

Task<void> Master::log_status() {
  co_await supervisor_.refresh_requests();
  for (const std::string& line : supervisor_.describe()) { report_(Severity::info, line); }
}

/// The log reports failures.
Task<void> Master::ignore(Task<Status> task) {
  [[maybe_unused]] const Status status = co_await std::move(task);
}

MasterState Master::state() const {
  if (!phases_.may_change()) { return MasterState::stopping; }
  if (phases_.phase() == MasterPhase::starting) { return MasterState::starting; }
  if (upgrade_) { return MasterState::upgrading; }
  return supervisor_.is_reloading() ? MasterState::reloading : MasterState::ready;
}

MasterStatus Master::status() const {
  MasterStatus status;
  status.state = state();
  status.pass = name_of(options_.pass);
  if (options_.pass == Pass::connection) { status.balance = name_of(options_.balance); }
  if (phases_.goes_on()) { status.listeners = listeners_.texts(); }
  status.age = Clock::now() - started_;
  status.waiting = balancer_.waiting();
  status.connections = connections() + status.waiting;
  if (sessions_) { status.queue = sessions_->queue().counts(); }
  status.accepted = accepted_ + supervisor_.accepted();
  status.reloads = reloads_;
  status.last_reload = last_reload_;
  status.last_upgrade = last_upgrade_;
  status.workers = supervisor_.status();
  const WorkerTraffic& traffic = supervisor_.traffic();
  status.totals = sessions_ ? sessions_->totals() : traffic.totals();
  status.methods = traffic.method_totals();
  status.rescued = traffic.rescued();
  status.lost = traffic.lost_ever() + (sessions_ ? sessions_->lost() : 0);
  status.former = traffic.former();
  return status;
}

/// Returns a failure if this master can neither reload nor be upgraded now.
Status Master::refuse_change() const {
  if (!phases_.may_change()) { return Status::failure("stopping"); }
  if (upgrade_) { return Status::failure("an upgrade is under way"); }
  return Status::ok();
}

Task<Status> Master::reload() {
  const Status refused = refuse_change();
  if (!refused.is_ok()) { co_return refused; }
  if (options_.supervisor.command.empty()) {
    report_(Severity::error,
            "cannot reload: there is no command to start; workers that joined stay");
    const Status failure = Status::failure("there is no command to start");
    co_return failure;
  }
  manager_.reloading();
  last_reload_ = co_await supervisor_.reload();
  if (last_reload_.is_ok()) { ++reloads_; }
  if (phases_.may_change()) { manager_.ready(); }
  co_return last_reload_;
}

/// A HUP during an upgrade waits: only an upgrade that fails leaves workers to be replaced.
Task<void> Master::reload_after_upgrade() {
  co_await changed_.wait_until([this] { return !upgrade_ || !phases_.may_change(); });
  if (!phases_.may_change()) { co_return; }
  [[maybe_unused]] const Status status = co_await reload();
}

Task<Status> Master::upgrade() {
  const Status refused = refuse_change();
  if (!refused.is_ok()) { co_return refused; }
  report_(Severity::info, "upgrading");
  upgrade_ = std::make_unique<Upgrade>(reactor_, balancer_, custody_, report_);
  SpawnSuccessor spawn = [this](Fd channel) { return spawn_successor(std::move(channel)); };
  last_upgrade_ = co_await upgrade_->start(std::move(spawn), options_.successor.ready_timeout);
  if (last_upgrade_.is_ok()) {
    take(MasterEvent::successor_ready);
  } else {
    upgrade_failed();
  }
  co_return last_upgrade_;
}

std::unique_ptr<SuccessorProcess> Master::spawn_successor(Fd channel) {
  SocketsToInherit sockets;
  sockets.channel = channel.get();
  sockets.listeners = listeners_.all();
  if (join_) { sockets.join = &join_->listener(); }
  if (control_) { sockets.control = &control_->listener(); }
  if (pidfile_) { sockets.pidfile = pidfile_->fd(); }
  sockets.original = lineage_->end_for_successor();
  const auto started = [this](const Child& child) {
    supervisor_.exempt_from_reaping(child.pid());
    lineage_->successor_started(child);
  };
  return handoff::spawn_successor(options_.successor, sockets, manager_, started);
}

void Master::upgrade_failed() {
  take_back_pidfile(upgrade_->pid());
  upgrade_.reset();
  lineage_->successor_failed();
  report_(Severity::error, fmt::format("cannot upgrade: {}{}", last_upgrade_.why(),
                                       phases_.may_change() ? "; this master serves on" : ""));
  changed_.notify_all();
}

/// A successor that has failed may have left its number in the pidfile, or have kept this master
/// from writing its own.
void Master::take_back_pidfile(pid_t successor) {
  if (!pidfile_) { return; }
  const bool serves = phases_.goes_on() && phases_.phase() != MasterPhase::starting;
  try {
    if ((serves && pidfile_->fd() < 0) || pidfile_->names(successor)) { pidfile_->write(); }
  } catch (const SystemError& error) { report_(Severity::error, error.what()); }
}

Task<Status> Master::drain(int worker) {
  const Status replaced = co_await supervisor_.replace(worker);
  co_return replaced;
}

Status Master::scale(std::size_t workers) {
  if (options_.supervisor.command.empty()) {
    return Status::failure("there is no command to start");
  }
  if (!phases_.goes_on()) { return Status::failure("stopping"); }
  supervisor_.scale(workers);
  on_change();
  return Status::ok();
}

/// The reply is written last, so that the caller finds nothing left of this master. A caller that
/// hangs up meanwhile changes nothing.
Task<Status> Master::stop() {
  if (has_handed_over()) {
    const Status failure = Status::failure(fmt::format("pid {} has taken over", upgrade_->pid()));
    co_return failure;
  }
  stop_asked(0);
  co_await control_->until_finishing();
  const Status done = Status::ok();
  co_return done;
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "master/master.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

#include <handoff/os/error.hpp>

#include "master/pass_connection.hpp"
#include "master/pass_listener.hpp"
#include "master/pass_queue.hpp"

namespace handoff {
namespace {

/// How long a control connection may take to read its last reply.
constexpr auto kControlTime = std::chrono::seconds(1);

/// The pause between two looks whether the workers can be told to leave.
constexpr auto kLookPause = std::chrono::milliseconds(5);

/// The exit status if anything was cut off.
constexpr int kCutOff = 124;

/// How workers and connections leave for a successor.
constexpr channel::Drain kHandOver{.give_back = true, .join_again = true};

/// Workers without a handshake need not notice that the channel ends when this process is killed,
/// so a guard ends them.
WorkerSpawner::Options spawner_options(const SupervisorOptions& options) {
  WorkerSpawner::Options spawner;
  spawner.command = options.command;
  spawner.guard = options.handshake == Handshake::none ? WorkerSpawner::Options::Guard::ends_workers
                                                       : WorkerSpawner::Options::Guard::none;
  spawner.patience = std::chrono::ceil<std::chrono::milliseconds>(options.drain_timeout);
  return spawner;
}

}  // namespace

Master::Master(Reactor& reactor, const SignalMask& signals, MasterOptions options, Report report)
    : reactor_(reactor),
      signals_(signals),
      options_(std::move(options)),
      report_(std::move(report)),
      report_not_taken_(reactor, saying(report_, Severity::error)),
      judge_(options_.allowed_uids),
      custody_(std::make_shared<Custody>(reactor,
                                         static_cast<std::size_t>(std::max(options_.workers, 0)))),
      proxies_(reactor, options_.proxies, owner_of_proxies(), report_),
      listeners_(reactor),
      balancer_(options_.balance_of_passed()),
      mode_(make_pass_mode()),
      clock_(reactor),
      spawner_(spawner_options(options_.supervisor), report_),
      supervisor_(
          reactor, clock_, *mode_, balancer_, custody_,
          [this](int number, const Fd& channel, std::span<const int> inherited) {
            return spawner_.spawn(number, channel, inherited);
          },
          options_.supervisor, report_, [this] { on_change(); }, [this] { on_room(); }),
      phases_(options_.lame_duck > Duration::zero() ? LameDuck::with : LameDuck::without),
      changed_(reactor) {
  custody_->on_no_room = [this] { supervisor_.drop_touched_luggage(); };
  custody_->on_unkept = [this](const std::string& why) {
    report_(Severity::error,
            fmt::format("cannot keep a copy of each connection: {}; others end with their worker",
                        why));
  };
  auto inherited = take_inherited_sockets();
  // Everything that can fail is tried before a name is taken.
  if (!options_.pidfile.empty()) {
    pidfile_.emplace(options_.pidfile, inherited ? std::move(inherited->pidfile) : Fd());
    pidfile_->check();
  }
  const pid_t predecessor = inherited ? peer_credentials(inherited->channel.get()).pid : 0;
  lineage_.emplace(reactor_, report_, manager_, inherited ? std::move(inherited->original) : Fd(),
                   predecessor);
  take_sockets(inherited ? std::move(inherited->sockets) : open_server_sockets(options_));
  if (inherited) { succeed(std::move(inherited->channel)); }
}

Master::~Master() {
  custody_->on_passed_on = nullptr;
  custody_->on_no_room = nullptr;
  custody_->on_unkept = nullptr;
}

std::unique_ptr<PassMode> Master::make_pass_mode() {
  switch (options_.pass) {
    case Pass::connection: break;
    case Pass::listener: {
      auto mode = std::make_unique<PassListener>(balancer_, listeners_, text_of(options_.proxies));
      offer_listeners_ = [&accepting = *mode] { accepting.offer_listeners(); };
      return mode;
    }
    case Pass::queue:
      options_.queue.workers = static_cast<std::size_t>(options_.workers);
      sessions_.emplace(
          reactor_, balancer_, options_.queue, [this](std::uint64_t id) { connection_closed(id); },
          [this](std::string_view line) { report_not_taken_(line); });
      return std::make_unique<PassQueue>(sessions_->queue());
  }
  return std::make_unique<PassConnection>(balancer_);
}

void Master::succeed(Fd channel) {
  predecessor_.emplace(reactor_, static_cast<Predecessor::Owner&>(*this), std::move(channel),
                       [this](std::string_view line) { report_not_taken_(line); });
  custody_->on_passed_on = [this](std::uint64_t id) { predecessor_->finished(id); };
  predecessor_->start(credits());
}

/// Returns how many connections the predecessor may pass at a time: those that this master can
/// serve itself, or those that it has not passed on yet. Of the latter the predecessor gets half;
/// the other half is for connections that this master accepts, and that its own workers return.
std::size_t Master::credits() const {
  if (sessions_) { return sessions_->most_connections(); }
  return std::max(custody_->capacity_in_hand() / 2, channel::kMaxEntries);
}

Task<Supervisor::CutOff> Master::run() {
  start();
  co_await changed_.wait_until([this] { return !phases_.goes_on(); });
  const std::size_t cut_off_here = co_await drain();
  if (phases_.phase() == MasterPhase::handing_over) { co_await finish_handing_over(); }
  take(MasterEvent::drained);
  if (control_) { co_await control_->finish(kControlTime); }
  if (status_endpoint_) { co_await status_endpoint_->finish(kControlTime); }
  if (start_failure_) {
    throw ChildFailed(describe_hopeless(*start_failure_), start_failure_->code);
  }
  const Supervisor::CutOff cut_off = sum_up(cut_off_here);
  lineage_->tell_end(cut_off.workers + cut_off.connections > 0 ? kCutOff : 0);
  co_return cut_off;
}

void Master::start() {
  reactor_.spawn(watch_signals());
  reactor_.spawn(watch_lineage());
  for (int i = 0; i < options_.workers; ++i) { supervisor_.add(); }
  if (owns_names()) { open_private_sockets(); }
  if (const auto interval = manager_.watchdog_interval()) {
    reactor_.spawn(feed_watchdog(*interval));
  }
  on_change();
}

/// Only this function changes the phase of the master.
void Master::take(MasterEvent event) {
  switch (phases_.take(event)) {
    case MasterAction::none: break;
    case MasterAction::serve: begin_to_accept(); break;
    case MasterAction::be_lame_duck: be_lame_duck(); break;
    case MasterAction::stop: begin_to_stop(); break;
    case MasterAction::stop_at_once:
      begin_to_stop();
      supervisor_.kill_all();
      break;
    case MasterAction::kill: supervisor_.kill_all(); break;
    case MasterAction::hand_over: begin_to_hand_over(); break;
    case MasterAction::leave_successor: leave_successor(); break;
  }
  changed_.notify_all();
}

void Master::begin_to_accept() {
  // This is the last step that can fail. A successor that starts already writes its own number
  // instead.
  if (pidfile_ && !upgrade_) { pidfile_->write(); }
  open_private_sockets();
  std::string line = fmt::format("ready, {}, on {}", counted(supervisor_.size(), "worker"),
                                 fmt::join(listeners_.texts(), " "));
  if (offer_listeners_) { offer_listeners_(); }
  listeners_.begin();
  if (join_) { line += fmt::format(" (workers join at {})", join_->listener().text()); }
  if (status_endpoint_) {
    line += fmt::format(" (status at {})", status_endpoint_->listener().text());
  }
  report_(Severity::info, line);
  manager_.ready();
  if (!predecessor_ || predecessor_->phase() != Predecessor::Phase::serves) { return; }
  take(MasterEvent::promised);
  predecessor_->say_ready();
}

void Master::be_lame_duck() {
  if (upgrade_) { upgrade_->give_up(); }
  manager_.stopping();
  report_(Severity::info, "leaving: each connection ends after its next reply");
  if (sessions_) { sessions_->be_lame_duck(); }
  supervisor_.be_lame_duck();
  reactor_.spawn(end_lame_duck());
}

Task<void> Master::end_lame_duck() {
  co_await reactor_.sleep_until(deadline_after(reactor_.now(), options_.lame_duck));
  take(MasterEvent::lame_duck_over);
}

/// Clients that wait in a backlog were promised a connection, and still get one.
void Master::begin_to_stop() {
  if (upgrade_) { upgrade_->give_up(); }
  manager_.stopping();
  if (pidfile_) { pidfile_->unlock(); }
  report_(Severity::detail, "stopping");
  listeners_.accept_waiting();
  if (options_.pass != Pass::listener) { balancer_.pass_all(); }
  listeners_.close();
  proxies_.close();
  if (join_) { join_->close(); }
  on_change();
}

/// The successor is ready, and accepts already, so everything goes to it.
void Master::begin_to_hand_over() {
  report_(Severity::info, fmt::format("upgraded, pid {} takes over", upgrade_->pid()));
  if (lineage_->role() == Lineage::Role::managed) { manager_.main_pid(upgrade_->pid()); }
  set_owner_of_names(OwnedName::Owner::another_process);
  pidfile_.reset();
  listeners_.close();
  if (join_) { join_->close(); }
  if (control_) { control_->close(); }
  if (status_endpoint_) { status_endpoint_->close(); }
  upgrade_->take_over();
  lineage_->successor_took_over();
  // This is done here and not when run() goes on, because the caller of the upgrade may rely on it
  // when the upgrade is reported done.
  if (sessions_) { sessions_->drain(kHandOver); }
  if (!needs_workers()) { supervisor_.retire_all(kHandOver); }
  on_change();
}

/// The successor takes nothing more: the workers close the connections that they would have
/// returned to it, unless the workers are still needed.
void Master::leave_successor() {
  upgrade_->give_up();
  if (all_masters_stop() && !needs_workers()) { supervisor_.retire_all({}); }
}

/// Tells the workers to leave, when the connections that the master serves itself do not need them
/// any more, and waits for them. A successor may have no other workers than those that join it when
/// they leave this master, so they need not wait for every client. Returns how many of the master's
/// own connections were cut off.
Task<std::size_t> Master::drain() {
  const bool hands_over = phases_.phase() == MasterPhase::handing_over;
  if (sessions_ && !hands_over) { sessions_->drain({}); }
  const TimePoint limit = deadline_after(reactor_.now(), options_.supervisor.drain_timeout);
  while (hands_over && needs_workers() && !phases_.hurried() && reactor_.now() < limit) {
    // Calls also begin and end on other threads, which do not report that.
    co_await changed_.wait(std::min(limit, reactor_.now() + Duration(kLookPause)));
  }
  if (hands_over) { supervisor_.retire_all(all_masters_stop() ? channel::Drain{} : kHandOver); }
  co_await changed_.wait_until(
      [this] { return own_connections() + proxies_.waiting() == 0 || phases_.hurried(); }, limit);
  proxies_.close();
  const std::size_t cut_off = own_connections();
  if (!hands_over) { supervisor_.retire_all({}); }
  on_change();
  co_await changed_.wait_until(
      [this] { return supervisor_.is_empty() && (!upgrade_ || has_handed_over()); });
  co_return cut_off;
}

/// Passes on what the predecessor still passes, until the successor has everything.
Task<void> Master::finish_handing_over() {
  co_await changed_.wait_until(
      [this] { return !predecessor_ || predecessor_->phase() == Predecessor::Phase::gone; });
  co_await upgrade_->until_done();
}

Supervisor::CutOff Master::sum_up(std::size_t cut_off_here) const {
  Supervisor::CutOff cut_off = supervisor_.cut_off();
  cut_off.connections += cut_off_here;
  // Connections that wait for a successor that stops too are closed, as idle ones are.
  if (!all_masters_stop()) {
    cut_off.connections += balancer_.waiting_to_be_served() + (sessions_ ? sessions_->lost() : 0);
  }
  return cut_off;
}

/// Returns whether a signal to the original process has reached this master after it had handed
/// over: then the successor stops too.
bool Master::all_masters_stop() const {
  return has_handed_over() && phases_.is_told_to_stop() &&
         lineage_->role() != Lineage::Role::managed;
}

Task<void> Master::feed_watchdog(Duration interval) {
  for (;;) {
    manager_.watchdog();
    co_await reactor_.sleep_until(reactor_.now() + interval);
  }
}

Task<void> Master::watch_lineage() {
  co_await lineage_->watch();
  if (lineage_->original_ended()) { original_ended(); }
}

/// The process that was started is gone, so the program that has started it may start another
/// server: this one stops.
void Master::original_ended() {
  // A predecessor that was the original process may have handed over with its last message.
  if (!owns_names() && lineage_->predecessor_is_original()) { return; }
  if (lineage_->role() != Lineage::Role::successor) { return; }
  report_(Severity::error,
          fmt::format("the process that was started, pid {}, is gone; this master, pid {}, stops",
                      lineage_->original(), getpid()));
  take(MasterEvent::cannot_go_on);
}

/// Where workers may join, others can still serve even if none can be started.
void Master::on_change() {
  changed_.notify_all();
  if (phases_.goes_on() && !options_.join) {
    start_failure_ = supervisor_.cannot_start();
    if (start_failure_) { take(MasterEvent::cannot_go_on); }
  }
  if (phases_.phase() == MasterPhase::starting && supervisor_.all_started()) {
    take(MasterEvent::workers_ready);
  }
  tell_manager();
  on_room();
}

void Master::on_room() {
  listeners_.resume();
}

/// Workers that cannot be sent another socket are replaced by workers that start with it.
void Master::listener_healed(ListenerGuard::Healed healed) {
  offer_listeners_();
  const bool is_another = healed == ListenerGuard::Healed::another_socket;
  if (is_another && !options_.has_messages()) { reactor_.spawn(ignore(reload())); }
}

void Master::tell_manager() {
  if (phases_.phase() == MasterPhase::starting) { return; }
  const std::size_t workers = supervisor_.size();
  if (std::exchange(told_workers_, workers) == workers) { return; }
  manager_.status(counted(workers, "worker"));
}

void Master::predecessor_drains() {
  names_are_ours();
  if (lineage_->original_ended()) { original_ended(); }
}

/// A predecessor that had not handed over was killed, and this master serves in its place.
void Master::predecessor_gone(Predecessor::Phase before) {
  changed_.notify_all();
  if (before == Predecessor::Phase::drains) { return; }
  report_(Severity::error, "the old master is gone; this one takes over");
  if (lineage_->predecessor_is_original()) { lineage_->become_original(); }
  names_are_ours();
}

void Master::names_are_ours() {
  set_owner_of_names(OwnedName::Owner::this_process);
  open_private_sockets();
  take(MasterEvent::predecessor_settled);
}

}  // namespace handoff

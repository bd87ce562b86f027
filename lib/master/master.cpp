// SPDX-License-Identifier: MIT
#include "master/master.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <span>

#include "async/signal_watcher.hpp"
#include "os/error.hpp"
#include "os/listen_on_all.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// Within which a control connection takes the last reply.
constexpr auto kControlTime = std::chrono::seconds(1);

/// How often it is seen to whether workers can be let go.
constexpr auto kLookPause = std::chrono::milliseconds(5);

/// The exit status when something was cut off.
constexpr int kCutOff = 124;

/// A socket for workers or control. Who may connect is told by the peer's uid; the file's mode must
/// let those who are named.
Listener listen_privately(const Address& address, int type, const MasterOptions& options) {
  ListenOptions listen;
  listen.type = type;
  if (!options.allowed_uids.empty()) listen.mode = 0666;
  return listen_on(address, listen);
}

bool has_messages(const MasterOptions& options) {
  return options.supervisor.handshake == Handshake::full;
}

int channel_type(const MasterOptions& options) {
  return has_messages(options) ? SOCK_SEQPACKET : SOCK_STREAM;
}

/// Workers without a handshake need not notice that the channel ends when this process is killed.
WorkerSpawner::Options spawner_options(const SupervisorOptions& options) {
  WorkerSpawner::Options spawner;
  spawner.command = options.command;
  spawner.guard = options.handshake == Handshake::none ? WorkerSpawner::Options::Guard::ends_workers
                                                       : WorkerSpawner::Options::Guard::none;
  spawner.patience = std::chrono::ceil<std::chrono::milliseconds>(options.drain_timeout);
  return spawner;
}

const char* name_of(Pass pass) {
  switch (pass) {
    case Pass::connection: return "connection";
    case Pass::listener: return "listener";
    case Pass::queue: return "queue";
  }
  return "";
}

const char* name_of(Balance balance) {
  switch (balance) {
    case Balance::round_robin: return "round-robin";
    case Balance::least: return "least";
    case Balance::hash: return "hash";
  }
  return "";
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
      dispatcher_(make_dispatcher()),
      clock_(reactor),
      spawner_(spawner_options(options_.supervisor), report_),
      supervisor_(
          reactor, clock_, *dispatcher_, custody_,
          [this](int number, const Fd& channel, std::span<const int> inherited) {
            return spawner_.spawn(number, channel, inherited);
          },
          options_.supervisor, report_, [this] { on_change(); }, [this] { on_room(); }),
      changed_(reactor) {
  auto inheritance = Inheritance::take();
  // What can fail is tried before a name is taken.
  if (!options_.pidfile.empty()) {
    pidfile_.emplace(options_.pidfile, inheritance ? std::move(inheritance->pidfile) : Fd());
    pidfile_->check();
  }
  const bool has_predecessor = inheritance.has_value();
  const pid_t predecessor = has_predecessor ? peer_credentials(inheritance->channel.get()).pid : 0;
  lineage_.emplace(reactor_, report_, manager_,
                   has_predecessor ? std::move(inheritance->original) : Fd(), predecessor);
  if (has_predecessor) {
    inherit(std::move(*inheritance));
  } else {
    open_sockets();
  }
  if (pass_listener_ != nullptr) pass_listener_->set_listeners(listener_numbers());
}

Master::~Master() {
  custody_->on_passed_on = nullptr;
}

void Master::check_listeners() const {
  const std::size_t count = acceptors_.size();
  if (pass_listener_ == nullptr || count <= channel::kMaxEntries) return;
  throw InvalidArgument(
      fmt::format("--pass listener can pass {} of them, not {}", channel::kMaxEntries, count));
}

std::unique_ptr<Dispatcher> Master::make_dispatcher() {
  if (options_.pass == Pass::connection) return std::make_unique<PassConnection>(options_.balance);
  if (options_.pass == Pass::queue) {
    options_.queue.workers = static_cast<std::size_t>(options_.workers);
    auto queue = std::make_unique<PassQueue>(
        reactor_, options_.queue, [this](std::uint64_t id) { connection_closed(id); },
        [this](std::string_view line) { report_not_taken_(line); });
    pass_queue_ = queue.get();
    return queue;
  }
  auto listener = std::make_unique<PassListener>();
  pass_listener_ = listener.get();
  return listener;
}

void Master::open_sockets() {
  ListenOptions listen;
  listen.allow_public = options_.allow_public;
  // A program that knows nothing of us expects a socket as a service manager passes it.
  listen.blocking = options_.pass == Pass::listener && !has_messages(options_);
  AcceptorOwner& owner = *this;
  for (const Address& address : options_.listen) {
    for (Listener& listener : listen_on_all(address, listen)) {
      acceptors_.emplace_back(reactor_, std::move(listener), owner, report_, judge_);
    }
  }
  check_listeners();
  if (options_.join) {
    door_.emplace(*this, listen_privately(*options_.join, channel_type(options_), options_));
  }
  if (options_.control) {
    control_.emplace(reactor_, listen_privately(*options_.control, SOCK_STREAM, options_),
                     static_cast<ControlOwner&>(*this), report_, judge_);
  }
}

void Master::inherit(Inheritance inheritance) {
  predecessor_ = Predecessor::serves;
  AcceptorOwner& owner = *this;
  for (Listener& listener : inheritance.listeners) {
    acceptors_.emplace_back(reactor_, std::move(listener), owner, report_, judge_);
  }
  if (inheritance.join) door_.emplace(*this, std::move(*inheritance.join));
  if (inheritance.control) {
    control_.emplace(reactor_, std::move(*inheritance.control), static_cast<ControlOwner&>(*this),
                     report_, judge_);
  }
  predecessor_link_ = std::make_shared<MasterChannel>(
      reactor_, static_cast<MasterChannel::Owner&>(*this), std::move(inheritance.channel));
  custody_->on_passed_on = [this](std::uint64_t id) {
    if (predecessor_link_) predecessor_link_->finished(id);
  };
  predecessor_link_->start(credits(), 1, false);
}

/// How many connections the predecessor may give us at a time: those that we serve ourselves, or
/// those that we have not passed on yet. Of these it gets half: the other half is for those that we
/// accept, and that our own workers return.
std::size_t Master::credits() const {
  if (pass_queue_ != nullptr) return pass_queue_->most_connections();
  return std::max(custody_->capacity() / 2, channel::kMaxEntries);
}

Master::Door::Door(Master& master, Listener listener)
    : master_(master),
      acceptor_(master.reactor_, std::move(listener), static_cast<AcceptorOwner&>(*this),
                master.report_, master.judge_, Judged::everybody) {}

void Master::Door::accepted(Connection connection) {
  master_.supervisor_.adopt(std::move(connection.socket));
}

Task<Supervisor::CutOff> Master::run() {
  reactor_.spawn(watch_signals());
  reactor_.spawn(watch_lineage());
  for (int i = 0; i < options_.workers; ++i) supervisor_.add();
  if (owns_names()) open_doors();
  if (const auto interval = manager_.watchdog_interval()) reactor_.spawn(feed_watchdog(*interval));
  on_change();
  while (!is_over()) co_await changed_.wait();
  if (handed_over_) {
    while (predecessor_link_) co_await changed_.wait();  // what it still passes goes on
    while (!successor_->is_done()) co_await successor_->progress().wait();
  }
  co_await wait_for_control();
  if (start_failure_) throw ChildFailed(describe_hopeless(*start_failure_), start_failure_->code);
  Supervisor::CutOff cut_off = supervisor_.cut_off();
  cut_off.connections += cut_off_;
  // What waits for a successor that stops too is closed, as its own idle connections are.
  if (!all_masters_stop()) {
    cut_off.connections += dispatcher_->waiting_to_be_served() + dispatcher_->lost();
  }
  lineage_->tell_end(cut_off.workers + cut_off.connections > 0 ? kCutOff : 0);
  co_return cut_off;
}

/// Whether a signal to the original process has reached this one, which had handed over already:
/// then the successor stops too.
bool Master::all_masters_stop() const {
  return handed_over_ && stopping_ && lineage_->role() != Lineage::Role::managed;
}

bool Master::is_over() const {
  return (handed_over_ || (stopping_ && !successor_)) && retired_ && supervisor_.is_empty();
}

Task<void> Master::wait_for_control() {
  if (!control_) co_return;
  control_->drain();
  changed_.notify_all();  // for the calls of stop
  const TimePoint limit = Clock::now() + kControlTime;
  while (!control_->is_idle() && Clock::now() < limit) {
    co_await reactor_.sleep_until(reactor_.now() + std::chrono::milliseconds(1));
  }
}

Task<void> Master::watch_signals() {
  supervisor_.children_ended();  // those of which no signal tells any more
  return handoff::watch_signals(reactor_, signals_,
                                [this](const ReceivedSignal& signal) { handle_signal(signal); });
}

Task<void> Master::feed_watchdog(Duration interval) {
  for (;;) {
    manager_.watchdog();
    co_await reactor_.sleep_until(reactor_.now() + interval);
  }
}

Task<void> Master::tell_status() {
  co_await supervisor_.refresh_requests();
  for (const std::string& line : supervisor_.describe()) report_(Severity::info, line);
}

/// What went wrong is on the log.
Task<void> Master::ignore(Task<std::string> task) {
  co_await std::move(task);
}

Task<void> Master::watch_lineage() {
  co_await lineage_->watch();
  if (lineage_->original_ended()) original_ended();
}

/// Nobody waits for this server any more, and what has started it may start another.
void Master::original_ended() {
  // A predecessor that was the original process may have handed over with its last message.
  if (!owns_names() && lineage_->predecessor_is_original()) return;
  if (lineage_->role() != Lineage::Role::successor) return;
  report_(Severity::error,
          fmt::format("the process that was started, pid {}, is gone; this master, pid {}, stops",
                      lineage_->original(), getpid()));
  stop_at_once();
}

void Master::stop_at_once() {
  if (!stopping_ && !handed_over_) begin_to_stop();
  stopping_ = true;
  cut_short_ = true;
  changed_.notify_all();
  supervisor_.kill_all();
}

void Master::stop_asked(pid_t sender) {
  const bool again = lineage_->stop_asked(sender) > 1;
  if (stopping_) {
    if (again) stop_at_once();
    return;
  }
  // What was handed over is drained already: a second one ends that.
  if (handed_over_) {
    stopping_ = true;
    successor_->give_up();
    if (retired_ && all_masters_stop()) supervisor_.retire_all({});  // nobody takes their clients
    return;
  }
  // The predecessor may hand over in this moment, or have failed.
  if (predecessor_ == Predecessor::promised && !again) {
    stop_put_off_ = true;
    return;
  }
  begin_to_stop();
}

void Master::handle_signal(const ReceivedSignal& signal) {
  if (signal.number == SIGCHLD) return supervisor_.children_ended();
  if (handed_over_ && lineage_->role() != Lineage::Role::managed) {
    lineage_->forward(signal);
    if (!is_stop(signal.number) && signal.number != SIGUSR1) return;
  }
  switch (signal.number) {
    case SIGTERM:
    case SIGINT:
    case SIGQUIT: return stop_asked(signal.sender);
    case SIGHUP:
      if (successor_ && !handed_over_ && !stopping_) {
        reload_put_off_ = true;
        return report_(Severity::info, "the reload is put off: an upgrade is under way");
      }
      return reactor_.spawn(ignore(reload()));
    case SIGUSR2:
      if (successor_ && !handed_over_ && !stopping_) {
        return report_(Severity::info, "upgrading already");
      }
      return reactor_.spawn(ignore(upgrade()));
    case SIGTTIN:
      if (stopping_ || handed_over_) return;
      if (options_.supervisor.command.empty()) {
        return report_(Severity::error, "cannot add a worker: there is no command to start");
      }
      return supervisor_.add();
    case SIGTTOU:
      if (!stopping_ && !handed_over_ && !supervisor_.retire_one()) {
        report_(Severity::error, "cannot remove a worker: the last one stays");
      }
      return;
    case SIGUSR1: return reactor_.spawn(tell_status());
    default: return;
  }
}

/// Others may still join and serve, where that is allowed.
void Master::end_if_no_worker_can_start() {
  if (stopping_ || handed_over_ || options_.join) return;
  start_failure_ = supervisor_.cannot_start();
  if (start_failure_) stop_at_once();
}

/// A worker became ready or is gone.
void Master::on_change() {
  changed_.notify_all();
  end_if_no_worker_can_start();
  if (!accepting_ && !stopping_ && !handed_over_ && supervisor_.all_started()) begin_to_accept();
  tell_manager();
  on_room();
}

void Master::on_room() {
  for (Acceptor& acceptor : acceptors_) acceptor.resume();
}

/// One that we have served ourselves.
void Master::connection_closed(std::uint64_t id) {
  if (id != 0 && predecessor_link_) predecessor_link_->finished(id);
  changed_.notify_all();
  on_room();
}

void Master::begin_to_accept() {
  // The last that can fail. A successor that starts already writes its own instead.
  if (pidfile_ && !successor_) pidfile_->write();
  accepting_ = true;
  open_doors();
  std::string line = fmt::format("ready, {}, on", counted(supervisor_.size(), "worker"));
  for (Acceptor& acceptor : acceptors_) {
    line += " " + acceptor.listener().text();
    if (pass_listener_ == nullptr) reactor_.spawn(acceptor.run());
  }
  if (pass_listener_ != nullptr) guard_listeners();
  if (door_) line += fmt::format(" (workers join at {})", door_->acceptor().listener().text());
  report_(Severity::info, line);
  manager_.ready();
  if (predecessor_ != Predecessor::serves) return;
  predecessor_is(Predecessor::promised);
  predecessor_link_->send_ready();
}

void Master::set_owner_of_names(OwnedName::Owner owner) {
  for (Acceptor& acceptor : acceptors_) acceptor.set_owner(owner);
  if (door_) door_->acceptor().set_owner(owner);
  if (control_) control_->acceptor().set_owner(owner);
}

/// Whether the names of the sockets are ours to remove, and the join and control sockets to serve.
bool Master::owns_names() const {
  return predecessor_ != Predecessor::serves && predecessor_ != Predecessor::promised;
}

void Master::predecessor_is(Predecessor predecessor) {
  const bool owned = owns_names();
  predecessor_ = predecessor;
  if (owned || !owns_names()) return;
  set_owner_of_names(OwnedName::Owner::this_process);
  open_doors();
  if (stop_put_off_ && !stopping_) begin_to_stop();
}

/// The workers accept; one of them could do more than that.
void Master::guard_listeners() {
  pass_listener_->begin();
  for (Acceptor& acceptor : acceptors_) {
    reactor_.spawn(acceptor.guard([this](bool same_socket) { listener_healed(same_socket); }));
  }
}

std::vector<int> Master::listener_numbers() const {
  std::vector<int> numbers;
  for (const Acceptor& acceptor : acceptors_) numbers.push_back(acceptor.listener().fd());
  return numbers;
}

/// Workers that can't be told of another socket are replaced by such as start with it.
void Master::listener_healed(bool same_socket) {
  pass_listener_->set_listeners(listener_numbers());
  if (!same_socket && !has_messages(options_)) reactor_.spawn(ignore(reload()));
}

/// For workers and control. A successor leaves them to its predecessor until it is ready.
void Master::open_doors() {
  for (Acceptor* acceptor :
       {door_ ? &door_->acceptor() : nullptr, control_ ? &control_->acceptor() : nullptr}) {
    if (acceptor != nullptr && !acceptor->is_running()) reactor_.spawn(acceptor->run());
  }
}

void Master::tell_manager() {
  const std::size_t workers = supervisor_.size();
  if (!accepting_ || std::exchange(told_workers_, workers) == workers) return;
  manager_.status(counted(workers, "worker"));
}

/// What waits in the backlogs was promised a connection, and still gets one.
void Master::begin_to_stop() {
  stopping_ = true;
  if (successor_) successor_->give_up();
  manager_.stopping();
  if (pidfile_) pidfile_->unlock();
  report_(Severity::detail, "stopping");
  if (accepting_ && pass_listener_ == nullptr) {
    for (Acceptor& acceptor : acceptors_) acceptor.accept_waiting();
    dispatcher_->flush_all();
  }
  for (Acceptor& acceptor : acceptors_) acceptor.close();
  if (door_) door_->acceptor().close();
  reactor_.spawn(retire_workers({}));
  on_change();
}

/// Once the connections that we serve ourselves need them no more. A successor may have no other
/// workers than those that join it when they leave us: they need not wait for every client.
Task<void> Master::retire_workers(channel::Drain how) {
  dispatcher_->drain(how);
  const TimePoint limit = deadline_after(reactor_.now(), options_.supervisor.drain_timeout);
  while (how.give_back && dispatcher_->needs_workers() && !cut_short_ && reactor_.now() < limit) {
    // Calls begin and end on other threads too, and nobody tells.
    co_await changed_.wait(std::min(limit, reactor_.now() + Duration(kLookPause)));
  }
  if (how.give_back) supervisor_.retire_all(how);
  while (dispatcher_->serving() > 0 && !cut_short_ && reactor_.now() < limit) {
    co_await changed_.wait(limit);
  }
  cut_off_ = dispatcher_->serving();
  if (!how.give_back) supervisor_.retire_all(how);
  retired_ = true;
  on_change();
}

Task<std::string> Master::reload() {
  if (stopping_ || handed_over_) co_return "stopping";
  if (successor_) co_return "an upgrade is under way";
  if (options_.supervisor.command.empty()) {
    report_(Severity::error,
            "cannot reload: there is no command to start; workers that joined stay");
    co_return "there is no command to start";
  }
  manager_.reloading();
  const Status reloaded = co_await supervisor_.reload();
  last_reload_ = reloaded.is_ok() ? "" : reloaded.why();
  if (last_reload_.empty()) ++reloads_;
  if (!stopping_) manager_.ready();
  co_return last_reload_;
}

Task<std::string> Master::drain(int worker) {
  const Status replaced = co_await supervisor_.replace(worker);
  std::string problem = replaced.is_ok() ? "" : replaced.why();
  co_return problem;
}

Task<std::string> Master::upgrade() {
  if (stopping_ || handed_over_) co_return "stopping";
  if (successor_) co_return "an upgrade is under way";
  report_(Severity::info, "upgrading");
  successor_ =
      std::make_unique<Succession>(reactor_, *dispatcher_, custody_, report_,
                                   [this](pid_t pid) { supervisor_.exempt_from_reaping(pid); });
  Succession::Estate estate;
  for (const Acceptor& acceptor : acceptors_) estate.listeners.push_back(&acceptor.listener());
  if (door_) estate.join = &door_->acceptor().listener();
  if (control_) estate.control = &control_->acceptor().listener();
  if (pidfile_) estate.pidfile = pidfile_->fd();
  last_upgrade_ =
      co_await successor_->start(options_.successor, std::move(estate), manager_, *lineage_);
  if (!last_upgrade_.empty()) {
    take_back_pidfile(successor_->pid());
    successor_.reset();
    lineage_->successor_failed();
    report_(Severity::error, fmt::format("cannot upgrade: {}{}", last_upgrade_,
                                         stopping_ ? "" : "; this master serves on"));
    if (std::exchange(reload_put_off_, false)) reactor_.spawn(ignore(reload()));
    changed_.notify_all();
    co_return last_upgrade_;
  }
  hand_over();
  co_return "";
}

/// The successor is ready, and accepts already: everything goes to it.
void Master::hand_over() {
  handed_over_ = true;
  report_(Severity::info, fmt::format("upgraded, pid {} takes over", successor_->pid()));
  if (lineage_->role() == Lineage::Role::managed) manager_.main_pid(successor_->pid());
  set_owner_of_names(OwnedName::Owner::another_process);
  pidfile_.reset();
  for (Acceptor& acceptor : acceptors_) acceptor.close();
  if (door_) door_->acceptor().close();
  if (control_) control_->acceptor().close();
  successor_->take_over();
  lineage_->successor_took_over();
  reactor_.spawn(retire_workers({.give_back = true, .join_again = true}));
  on_change();
}

/// A successor that failed may have left its number there, or have kept us from writing ours.
void Master::take_back_pidfile(pid_t successor) {
  if (!pidfile_ || !accepting_) return;
  try {
    if (pidfile_->fd() < 0 || pidfile_->names(successor)) pidfile_->write();
  } catch (const SystemError& error) {
    report_(Severity::error, error.what());
  }
}

bool Master::has_room() const {
  const std::size_t most = options_.max_connections;
  return dispatcher_->can_take() && custody_->has_room() && (most == 0 || connections() < most);
}

void Master::accepted(Connection connection) {
  ++accepted_;
  Custody::Hold hold(*custody_, connection.descriptors());
  dispatcher_->work_arrived({std::move(connection), std::move(hold)});
}

std::size_t Master::connections() const {
  return supervisor_.open_connections() + dispatcher_->serving();
}

MasterStatus Master::status() const {
  MasterStatus status;
  status.state = stopping_ || handed_over_    ? "stopping"
                 : !accepting_                ? "starting"
                 : successor_                 ? "upgrading"
                 : supervisor_.is_reloading() ? "reloading"
                                              : "ready";
  status.pass = name_of(options_.pass);
  if (options_.pass == Pass::connection) status.balance = name_of(options_.balance);
  for (const Acceptor& acceptor : acceptors_) {
    if (!stopping_ && !handed_over_) status.listeners.push_back(acceptor.listener().text());
  }
  status.age = Clock::now() - started_;
  status.waiting = dispatcher_->waiting();
  status.connections = connections() + status.waiting;
  if (pass_queue_ != nullptr) status.queue = pass_queue_->counts();
  status.accepted = accepted_ + supervisor_.accepted();
  status.reloads = reloads_;
  status.last_reload = last_reload_;
  status.last_upgrade = last_upgrade_;
  status.workers = supervisor_.status();
  return status;
}

std::string Master::scale(std::size_t workers) {
  if (options_.supervisor.command.empty()) return "there is no command to start";
  if (stopping_ || handed_over_) return "stopping";
  supervisor_.scale(workers);
  on_change();
  return "";
}

/// The reply is written last, so that the caller finds nothing left of this master. A caller that
/// hangs up meanwhile changes nothing.
Task<std::string> Master::stop() {
  if (handed_over_) co_return fmt::format("pid {} has taken over", successor_->pid());
  stop_asked(0);
  while (!control_->is_draining()) co_await changed_.wait();
  co_return "";
}

void Master::connection_passed(Connection connection) {
  // Told to stop meanwhile: it is closed, as idle ones are.
  if (stopping_ && !handed_over_) return;
  const bool serves_itself = pass_queue_ != nullptr && !handed_over_;
  Custody::Hold hold;
  if (!serves_itself) {
    hold =
        Custody::Hold(*custody_, connection.descriptors(), connection.id, connection.unread_size());
  }
  try {
    dispatcher_->work_arrived({std::move(connection), std::move(hold)});
  } catch (const std::exception& error) {
    report_not_taken_(fmt::format("take a connection of the old master: {}", error.what()));
  }
}

void Master::connections_missed(std::size_t count) {
  report_not_taken_(fmt::format("receive {} of the old master: {}", counted(count, "connection"),
                                error_text(EMFILE)));
}

void Master::channel_failed(int error) {
  report_not_taken_(fmt::format("the channel to the old master fails: {}", error_text(error)));
}

void Master::accept_asked() {
  predecessor_is(Predecessor::drains);
  if (lineage_->original_ended()) original_ended();
}

/// If it had not handed over, it was killed, and this master serves in its place.
void Master::master_gone() {
  predecessor_link_->close();
  predecessor_link_.reset();
  if (!owns_names()) {
    report_(Severity::error, "the old master is gone; this one takes over");
    if (lineage_->predecessor_is_original()) lineage_->become_original();
  }
  predecessor_is(Predecessor::gone);
  changed_.notify_all();
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "worker/worker.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>

#include <handoff/os/error.hpp>

#include "async/signal_watcher.hpp"
#include "os/descriptor_limit.hpp"
#include "os/listener.hpp"
#include "os/process_tree.hpp"
#include "os/socket.hpp"
#include "rpc/dispatch.hpp"
#include "rpc/session.hpp"

namespace handoff {
namespace {

/// The descriptors that are not available for connections: standard streams, epoll, listeners, and
/// those that each running call may need for its command.
constexpr std::size_t kReservedDescriptors = 64;
constexpr std::size_t kDescriptorsPerCall = 6;

std::size_t default_credits(std::size_t concurrency) {
  const std::size_t limit = descriptor_limit();
  const std::size_t reserved = kReservedDescriptors + kDescriptorsPerCall * concurrency;
  return limit > 2 * reserved ? limit - reserved : limit / 2;
}

}  // namespace

Worker::Worker(Reactor& reactor, const SignalMask& signals, const MakeMethods& make_methods,
               const WorkerOptions& options, Report report)
    : reactor_(reactor),
      signals_(signals),
      options_(options),
      report_(std::move(report)),
      judge_(options.allowed_uids),
      report_lost_(reactor, saying(report_, Severity::error)),
      threads_(reactor, make_methods, options, owner_of_threads()),
      proxies_(reactor, options_.proxies, owner_of_proxies(), report_),
      listeners_(reactor, owner_of_acceptors(), report_, judge_),
      life_(options.lame_duck > Duration::zero() ? WorkerLife::LameDuck::with
                                                 : WorkerLife::LameDuck::without),
      changed_(reactor) {
  if (options_.credits == 0) { options_.credits = default_credits(options_.limits.concurrency); }
}

ServingThreads::Owner Worker::owner_of_threads() {
  ServingThreads::Owner owner;
  owner.closed = [this](std::uint64_t id, CloseReason why) { ended(id, why); };
  owner.returned = [this](Connection connection) { give_back(std::move(connection)); };
  owner.deposited = [this](Connection copy) {
    if (link_) { link_->deposit(std::move(copy)); }
  };
  owner.quota_used_up = [this] { take(WorkerLife::Event::wants_replacement); };
  owner.failed = [this](std::string_view line) { report_lost_(line); };
  owner.report = report_;
  return owner;
}

MasterChannel::LifeEvents Worker::life_events() {
  MasterChannel::LifeEvents events;
  if (joining_) {
    events.master_heard = [this] { joining_->confirm(); };
  }
  events.drain_asked = [this](channel::Drain how) { take(event_of(how)); };
  events.lame_duck_asked = [this] { threads_.be_lame_duck(); };
  events.failed = [this](int error) { channel_failed(error); };
  events.master_gone = [this] { take(WorkerLife::Event::master_gone); };
  events.all_sent = [this] { changed_.set(); };
  return events;
}

MasterChannel::TrafficEvents Worker::traffic_events() {
  MasterChannel::TrafficEvents events;
  events.connection_passed = [this](Connection connection) {
    connection_passed(std::move(connection));
  };
  events.ledger_passed = [this](const std::shared_ptr<const ledger::Ledger>& ledger) {
    threads_.count_in(ledger);
    own_.use(ledger);
  };
  events.connections_missed = [this](std::size_t count) { connections_missed(count); };
  events.connection_not_returned = [this](std::size_t unread, int error) {
    connection_not_returned(unread, error);
  };
  events.return_failed = [this](int error) { return_failed(error); };
  events.listeners_passed = [this](std::vector<Fd> passed, std::vector<AddressRange> proxies) {
    listeners_passed(std::move(passed), std::move(proxies));
  };
  events.listeners_missed = [this] { listeners_missed(); };
  events.accept_asked = [this] { listeners_.accept_now(); };
  events.queue_passed = [this](Fd masters, Fd ours) {
    queue_passed(std::move(masters), std::move(ours));
  };
  events.requests_asked = [this](const std::function<void(std::uint64_t)>& answer) {
    threads_.when_all_answer([this, answer] { answer(threads_.requests()); });
  };
  return events;
}

Task<void> Worker::run_on_channel(Fd channel, std::vector<Fd> listeners) {
  reactor_.spawn(watch_signals());
  const bool may_serve = co_await get_ready();
  if (!may_serve) { co_return; }
  Task<JoinMaster::Before> service = serve_channel(std::move(channel), std::move(listeners));
  co_await std::move(service);
}

Task<void> Worker::run_joined(Address address, Duration wait) {
  joining_.emplace(reactor_, std::move(address), wait, judge_, report_);
  reactor_.spawn(watch_signals());
  const bool may_serve = co_await get_ready();
  if (!may_serve) { co_return; }
  Fd channel = co_await joining_->join();
  while (channel.valid() && life_.phase() != WorkerLife::Phase::over) {
    const JoinMaster::Before before = co_await serve_channel(std::move(channel));
    if (life_.phase() == WorkerLife::Phase::over) { co_return; }
    channel = co_await joining_->join_again(before);
    if (channel.valid()) { begin_anew(); }
  }
}

Task<void> Worker::run_alone(std::vector<Address> addresses) {
  reactor_.spawn(watch_signals());
  const bool may_serve = co_await get_ready();
  if (!may_serve) { co_return; }
  ListenOptions listen;
  listen.allow_public = options_.allow_public;
  std::string line = "ready, on";
  for (const std::string& text : listeners_.listen(addresses, listen)) { line += " " + text; }
  take(WorkerLife::Event::begins_alone);
  report_(Severity::info, line);
  co_await wait_until_drained();
}

Task<void> Worker::run_on_stdio() {
  reactor_.spawn(watch_signals());
  const bool may_serve = co_await get_ready();
  if (!may_serve) { co_return; }
  take(WorkerLife::Event::begins_alone);
  if (socket_type(STDIN_FILENO)) {
    Session::open(threads_.main(), {.socket = Fd(STDIN_FILENO)});
    co_return co_await wait_until_idle();
  }
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  Session::open(threads_.main(), {.socket = std::move(theirs)});
  relay_ = std::make_shared<StdioRelay>(reactor_, Fd(STDIN_FILENO), Fd(STDOUT_FILENO),
                                        std::move(ours), [this] { changed_.set(); });
  relay_->start();
  co_await wait_until_idle();
}

/// Returns whether it may serve: the call has succeeded, and no signal has ended it meanwhile.
Task<bool> Worker::get_ready() {
  if (!options_.ready) { co_return true; }
  const std::shared_ptr<const MethodTable> methods = threads_.main().methods();
  Call call;
  call.method = options_.ready->method;
  call.params = options_.ready->params;
  call.deadline = deadline_after(reactor_.now(), options_.limits.call_timeout);
  Task<Result> answer = run_call(reactor_, *methods, std::move(call));
  const Raced<Result> raced = co_await race(reactor_, std::move(answer), kNever, &ready_call_);
  if (raced.end != RaceEnd::finished) { co_return false; }
  if (raced.value->is_error()) {
    readiness_ = Status::failure(
        fmt::format("not ready: {} failed: {}{}", options_.ready->method, raced.value->message,
                    raced.value->json.empty() ? "" : fmt::format(" {}", raced.value->json)));
  }
  co_return readiness_.is_ok();
}

/// Returns what JoinMaster::join_again() needs to know of the master.
Task<JoinMaster::Before> Worker::serve_channel(Fd channel, std::vector<Fd> listeners) {
  using Origin = MasterChannel::Origin;
  link_ =
      std::make_shared<MasterChannel>(reactor_, life_events(), traffic_events(), std::move(channel),
                                      joining_ ? Origin::joined : Origin::started);
  require_full_channel();
  link_->ask_for_ledger(options_.threads);
  own_.use(nullptr);
  take(WorkerLife::Event::begins_for_master);
  link_->start(options_.credits, options_.limits.concurrency);
  if (threads_.has_used_up_quota()) { take(WorkerLife::Event::wants_replacement); }
  if (!link_->is_full() && !listeners.empty()) { listeners_passed(std::move(listeners)); }
  listeners.clear();
  co_await wait_until_drained();
  proxies_.close();
  threads_.abandon();
  queue_.reset();
  const JoinMaster::Before before =
      link_->heard() ? JoinMaster::Before::served : JoinMaster::Before::refused;
  link_->close();
  link_.reset();
  co_return before;
}

void Worker::require_full_channel() const {
  const bool recycles = options_.limits_requests() || options_.max_lifetime > Duration();
  if (!recycles || link_->is_full()) { return; }
  throw InvalidArgument(
      "--max-requests and --max-lifetime need the full handshake: "
      "without it a worker can't ask to be replaced");
}

/// Only this function changes the phase of the worker's life.
void Worker::take(WorkerLife::Event event) {
  const WorkerLife::Action action = life_.take(event);
  switch (action) {
    case WorkerLife::Action::none: break;
    case WorkerLife::Action::stop_waiting:
      ready_call_.cancel();
      if (joining_) { joining_->cancel(); }
      break;
    case WorkerLife::Action::be_lame_duck:
      report_(Severity::info, "leaving: each connection ends after its next reply");
      threads_.be_lame_duck();
      reactor_.spawn(end_lame_duck());
      break;
    case WorkerLife::Action::ask_master: link_->leave(); break;
    case WorkerLife::Action::ask_in_time:
      link_->leave();
      start_drain_limit();
      break;
    case WorkerLife::Action::drain_returning:
    case WorkerLife::Action::drain_closing: drain(action); break;
    case WorkerLife::Action::close_rest: threads_.drain(WhenDrained::close); break;
  }
}

Task<void> Worker::watch_signals() {
  reap_orphans();  // no signal announces those that ended before
  return handoff::watch_signals(
      reactor_, signals_, [this](const ReceivedSignal& signal) { handle_signal(signal.number); });
}

void Worker::handle_signal(int signal) {
  if (signal == SIGCHLD) {
    reap_orphans();
  } else if (signal == SIGHUP && options_.reloads) {
    threads_.reload();
  } else {
    take(WorkerLife::Event::signal);
    changed_.set();
  }
}

void Worker::ended(std::uint64_t id, CloseReason why) {
  if (link_ && why != CloseReason::abandoned) {
    link_->finished(id);
    own_.ended(id);
  }
  changed_.set();
  listeners_.resume();
}

void Worker::give_back(Connection connection) {
  if (link_) {
    own_.ended(connection.id);
    link_->give_back(std::move(connection));
  }
  changed_.set();
}

void Worker::connection_passed(Connection connection) {
  try {
    connection.load_spilled(options_.limits.max_unused());
  } catch (const std::exception& error) {
    if (connection.entry != nullptr) { connection.entry->store(ledger::State::closed); }
    report_lost_(error.what());
    return ended(connection.id, CloseReason::failed);
  }
  threads_.serve(std::move(connection));
}

void Worker::queue_passed(Fd masters, Fd ours) {
  if (queue_) { throw ProtocolError("cannot read the channel: the master sent a second queue"); }
  const std::shared_ptr<MasterChannel> link = link_;
  QueueConsumer::Owner owner;
  owner.wake_master = [link] { link->wake_master(channel::Type::queue); };
  owner.became_idle = [this] { changed_.set(); };
  owner.run_elsewhere = [this](Call& call, const std::function<void(Result)>& done) {
    return threads_.run_elsewhere(call, done);
  };
  queue_ = std::make_shared<QueueConsumer>(threads_.main(), std::move(masters), std::move(ours),
                                           options_.limits.concurrency, std::move(owner));
}

void Worker::connections_missed(std::size_t count) {
  report_lost_(fmt::format("receive {}: {}", counted(count, "connection"), error_text(EMFILE)));
}

void Worker::connection_not_returned(std::size_t unread, int error) {
  report_lost_(fmt::format("cannot give back a connection with {} unread bytes: {} ({})", unread,
                           error_text(error),
                           error == EFBIG ? "raise `ulimit -f`" : "memfd_create is refused"));
}

void Worker::return_failed(int error) {
  report_lost_(fmt::format("cannot give back a connection: {}; it is closed", error_text(error)));
}

void Worker::channel_failed(int error) {
  report_lost_(fmt::format("the channel to the master fails: {}; leaving", error_text(error)));
}

void Worker::drain(WorkerLife::Action how) {
  const bool gives_back = how == WorkerLife::Action::drain_returning;
  using Waiting = WorkerListeners::Waiting;
  listeners_.close(gives_back ? Waiting::leave : Waiting::accept);
  if (!gives_back) { proxies_.close(); }
  if (link_) { link_->report_immediately(); }
  threads_.drain(gives_back ? WhenDrained::give_back : WhenDrained::close);
  start_drain_limit();
  changed_.set();
}

Task<void> Worker::end_lame_duck() {
  co_await reactor_.sleep_until(deadline_after(reactor_.now(), options_.lame_duck));
  take(WorkerLife::Event::lame_duck_over);
}

void Worker::start_drain_limit() {
  if (drained_by_ != kNever) { return; }
  drained_by_ = deadline_after(reactor_.now(), options_.drain_timeout);
  drain_alarm_.emplace(reactor_, changed_, drained_by_);
}

Task<void> Worker::wait_until_drained() {
  std::optional<EventTimeout> lifetime;
  const TimePoint old = deadline_after(reactor_.now(), options_.max_lifetime);
  lifetime.emplace(reactor_, changed_, old);
  while (!life_.drains() && !is_overdue()) {
    changed_.clear();
    co_await changed_;
    if (lifetime && reactor_.now() >= old) {
      lifetime.reset();
      take(WorkerLife::Event::wants_replacement);
    }
  }
  co_await wait_until_idle();
}

/// Waits until nothing is left to do, and everything was told to the master.
Task<void> Worker::wait_until_idle() {
  while (is_busy() && !is_overdue()) {
    changed_.clear();
    co_await changed_;
  }
  cut_off_ = threads_.open_connections() + (queue_ ? queue_->running() : 0);
  take(WorkerLife::Event::finished);
}

bool Worker::is_overdue() const {
  return life_.is_hurried() || reactor_.now() >= drained_by_;
}

bool Worker::is_busy() const {
  return threads_.open_connections() > 0 || proxies_.waiting() > 0 ||
         (relay_ && !relay_->is_finished()) || (queue_ && !queue_->idle()) ||
         (link_ && !link_->idle());
}

/// Prepares to serve the next master.
void Worker::begin_anew() {
  threads_.count_in(nullptr);
  threads_.resume();
  drain_alarm_.reset();
  drained_by_ = kNever;
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "worker/worker.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <memory>
#include <numeric>

#include "async/attempts.hpp"
#include "async/signal_watcher.hpp"
#include "async/stream.hpp"
#include "os/descriptor_limit.hpp"
#include "os/error.hpp"
#include "os/listen_on_all.hpp"
#include "os/listener.hpp"
#include "os/process_tree.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// Descriptors that are kept back from credits: standard streams, epoll, listeners, and for each
/// call that may run those of its command.
constexpr std::size_t kReservedDescriptors = 64;
constexpr std::size_t kDescriptorsPerCall = 6;

/// Within which a master that is there accepts.
constexpr auto kJoinTimeout = std::chrono::seconds(10);
constexpr Duration kJoinPause = std::chrono::milliseconds(50);
constexpr Duration kRejoinPause = std::chrono::seconds(1);

/// Lines that say that we have joined, within a second: a master may send us away again and again.
constexpr std::size_t kJoinedBurst = 16;

std::size_t default_credits(std::size_t concurrency) {
  const std::size_t limit = descriptor_limit();
  const std::size_t reserved = kReservedDescriptors + kDescriptorsPerCall * concurrency;
  return limit > 2 * reserved ? limit - reserved : limit / 2;
}

std::size_t rounded_up(std::size_t number, std::size_t parts) {
  return (number + parts - 1) / parts;
}

/// What each of the threads allows.
SessionLimits share_of(const WorkerOptions& options) {
  SessionLimits limits = options.limits;
  limits.synchronous = limits.concurrency == 1;
  limits.concurrency = rounded_up(limits.concurrency, options.threads);
  limits.max_waiting = rounded_up(limits.max_waiting, options.threads);
  return limits;
}

}  // namespace

/// Two pipes in front of a session, which has one socket.
struct Worker::Relay {
  Relay(Reactor& reactor, Fd socket)
      : input(reactor, Fd(STDIN_FILENO)),
        output(reactor, Fd(STDOUT_FILENO)),
        session(reactor, std::move(socket)) {}
  Stream input;
  Stream output;
  Stream session;
};

/// Copies until `from` ends. Both are members of `relay`, which lives as long as either direction.
Task<void> Worker::copy([[maybe_unused]] std::shared_ptr<Relay> relay, Stream& from, Stream& to) {
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const IoResult read = co_await from.read_some(buffer);
    if (!read.done()) break;
    const IoResult written = co_await to.write_all({buffer.data(), read.size});
    if (!written.done()) break;
  }
  to.end_writing();
}

Worker::Worker(Reactor& reactor, const SignalMask& signals, const MakeMethods& make_methods,
               const WorkerOptions& options, Report report)
    : reactor_(reactor),
      signals_(signals),
      make_method_table_(make_methods(reactor)),
      options_(options),
      report_(std::move(report)),
      judge_(options.allowed_uids),
      report_joined_(reactor, saying(report_, Severity::info), kJoinedBurst),
      report_lost_(reactor, saying(report_, Severity::error)),
      service_(reactor, make_method_table_(), share_of(options)),
      requests_left_(static_cast<std::int64_t>(options.max_requests)),
      changed_(reactor) {
  if (options_.credits == 0) options_.credits = default_credits(options_.limits.concurrency);
  service_.requests_left = limits_requests() ? &requests_left_ : nullptr;
  service_.on_most_requests = [this] { ask_to_leave(); };
  service_.on_returned = [this](Connection connection) { give_back(std::move(connection)); };
  service_.on_closed = [this](std::uint64_t id) { ended(id); };
  service_.on_failed = [this](std::string_view line) { report_lost_(line); };
  start_threads(make_methods);
}

void Worker::return_failed(int error) {
  report_lost_(fmt::format("cannot give back a connection: {}; it is closed", error_text(error)));
}

void Worker::channel_failed(int error) {
  report_lost_(fmt::format("the channel to the master fails: {}; leaving", error_text(error)));
}

/// Our own reactor is one of the threads.
void Worker::start_threads(const MakeMethods& make_methods) {
  if (options_.threads > 1) mailbox_.emplace(reactor_);
  for (std::size_t i = 1; i < options_.threads; ++i) {
    ReactorThread::Owner owner;
    owner.closed = [this](std::uint64_t id) { ended(id); };
    owner.returned = [this](Connection connection) { give_back(std::move(connection)); };
    owner.had_most_requests = [this] { ask_to_leave(); };
    owner.failed = [this](const std::string& line) { report_lost_(line); };
    owner.reload_failed = [this](const std::string& problem) { report_(Severity::error, problem); };
    threads_.emplace_back(*mailbox_, share_of(options_), make_methods, service_.requests_left,
                          std::move(owner));
  }
}

/// On the thread that has the fewest connections.
void Worker::serve(Connection connection) {
  ReactorThread* best = nullptr;
  for (ReactorThread& thread : threads_) {
    if (thread.held() < (best == nullptr ? service_.open : best->held())) best = &thread;
  }
  if (best != nullptr) return best->open(std::move(connection));
  Session::open(service_, std::move(connection));
}

/// On one thread after the other; false for our own.
bool Worker::run_elsewhere(Call& call, const std::function<void(Result)>& done) {
  next_thread_ = (next_thread_ + 1) % (threads_.size() + 1);
  if (next_thread_ == threads_.size()) return false;
  threads_[next_thread_].run(std::move(call), done);
  return true;
}

std::size_t Worker::held() const {
  return std::accumulate(
      threads_.begin(), threads_.end(), service_.open,
      [](std::size_t sum, const ReactorThread& thread) { return sum + thread.held(); });
}

std::uint64_t Worker::requests() const {
  return std::accumulate(
      threads_.begin(), threads_.end(), service_.requests,
      [](std::uint64_t sum, const ReactorThread& thread) { return sum + thread.requests(); });
}

void Worker::when_threads_answer(const std::function<void()>& then) {
  if (threads_.empty()) return then();
  const auto awaited = std::make_shared<std::size_t>(threads_.size());
  for (ReactorThread& thread : threads_) {
    thread.when_it_answers([awaited, then] {
      if (--*awaited == 0) then();
    });
  }
}

void Worker::give_back(Connection connection) {
  if (link_) link_->give_back(std::move(connection));
  changed_.set();
}

void Worker::connection_not_returned(std::size_t unread, int error) {
  report_lost_(fmt::format("cannot give back a connection with {} unread bytes: {} ({})", unread,
                           error_text(error),
                           error == EFBIG ? "raise `ulimit -f`" : "memfd_create is refused"));
}

void Worker::ended(std::uint64_t id) {
  if (link_ && id != 0) link_->finished(id);
  changed_.set();
  for (Acceptor& acceptor : acceptors_) acceptor.resume();
}

void Worker::drain_services(bool give_back) {
  service_.drain(give_back);
  for (ReactorThread& thread : threads_) thread.drain(give_back);
}

Task<void> Worker::run_on_channel(Fd channel, std::vector<Fd> listeners) {
  reactor_.spawn(watch_signals());
  co_await serve_channel(std::move(channel), std::move(listeners));
}

Task<void> Worker::run_joined(Address address, Duration wait) {
  joined_ = true;
  join_name_ = address.text;
  reactor_.spawn(watch_signals());
  Fd channel = co_await wait_for_master(address, wait);
  if (leaving_) co_return;
  report_(Severity::detail, fmt::format("waiting for the master at {}", join_name_));
  for (;;) {
    check_master(channel.get());
    const bool is_full = socket_type(channel.get()) == SOCK_SEQPACKET;
    if (!is_full) {
      report_joined_(
          fmt::format("connected to {} (in the plain form no master confirms that this "
                      "worker has joined)",
                      join_name_));
    }
    co_await serve_channel(std::move(channel));
    if (leaving_ || !join_again_) co_return;
    if (refusals_ > 1 && is_full) {
      throw Unreachable(fmt::format(
          "cannot join {}: the master does not let us (see its --allow-uid), or has as many "
          "workers as it takes",
          address.text));
    }
    // Without messages a refusal can't be told from an end: not too often.
    if (refusals_ > 0) {
      co_await reactor_.sleep_until(reactor_.now() + (is_full ? kJoinPause : kRejoinPause));
    }
    channel = co_await join_again(address, wait, is_full);
    if (leaving_ || !channel.valid()) co_return;
    service_.resume();
    for (ReactorThread& thread : threads_) thread.post([](Service& service) { service.resume(); });
    drain_alarm_.reset();
    drained_by_ = kNever;
  }
}

/// Connects to the master that follows. Throws Unreachable when there is none within `wait`. The
/// plain form ends in the same way when its master stops, and then it gives no descriptor.
Task<Fd> Worker::join_again(const Address& address, Duration wait, bool is_full) {
  try {
    co_return co_await connect_to_master(address, TimeLimit::after(Clock::now(), kJoinTimeout));
  } catch (const Unreachable&) {
    // It may have been killed a moment ago, and there may be another one soon.
  }
  const std::string line = fmt::format("the master at {} is gone", address.text);
  if (wait <= Duration::zero()) {
    if (is_full) throw Unreachable(line + " (--wait would wait for another one)");
    report_(Severity::info, line);
    co_return Fd();
  }
  report_(Severity::info, line + "; waiting for another one");
  co_return co_await wait_for_master(address, wait);
}

/// A master has this process run whatever its clients ask for, with this process's rights. Throws
/// Unreachable when the user who listens is refused.
void Worker::check_master(int channel) const {
  const auto refused = judge_.refuse(channel);
  if (!refused) return;
  throw Unreachable(fmt::format("cannot join {}: user {} listens there ({})", join_name_,
                                refused->uid, refused->remedy()));
}

/// Until then the other end can be any program that listens there.
void Worker::master_heard() {
  if (joined_) report_joined_(fmt::format("joined, on {}", join_name_));
}

/// Gives no channel when a signal has ended the wait.
Task<Fd> Worker::wait_for_master(const Address& address, Duration wait) {
  AttemptOptions options;
  options.mode = wait > Duration::zero() ? AttemptMode::wait : AttemptMode::retry;
  options.limit = TimeLimit::after(Clock::now(), wait);
  options.attempt_timeout = kJoinTimeout;
  options.on_waiting = [this](const std::string& text) { report_(Severity::detail, text); };
  options.silence = fmt::format("no answer from {} yet", address.text);
  Attempts attempts(reactor_, std::move(options));
  const auto attempt = [&](TimeLimit limit) { return connect_to_master(address, limit); };
  Raced<Fd> joined =
      co_await race(reactor_, attempts.run<Fd>(attempt), kNever, &waiting_for_master_);
  co_return std::move(joined.value).value_or(Fd());
}

void Worker::master_gone() {
  refusals_ = leaving_ || link_->heard() ? 0 : refusals_ + 1;
  drain({.give_back = false, .join_again = true});
}

/// The socket's type is the master's choice: one of another type may speak the plain form.
Task<Fd> Worker::connect_to_master(const Address& address, TimeLimit limit) {
  try {
    DialedSocket full = co_await connect_to(reactor_, address, limit, {.type = SOCK_SEQPACKET});
    co_return std::move(full.socket);
  } catch (const CannotConnect& error) {
    // An abstract name of another type is not found.
    const int number = error.failure().error_number;
    const bool is_abstract = address.kind == Address::Kind::abstract;
    if (number != EPROTOTYPE && !(is_abstract && number == ECONNREFUSED)) throw;
  }
  DialedSocket plain = co_await connect_to(reactor_, address, limit, {.type = SOCK_STREAM});
  co_return std::move(plain.socket);
}

Task<void> Worker::serve_channel(Fd channel, std::vector<Fd> listeners) {
  link_ = std::make_shared<MasterChannel>(reactor_, static_cast<MasterChannel::Owner&>(*this),
                                          std::move(channel), joined_);
  require_full_channel();
  link_->start(options_.credits, options_.limits.concurrency);
  if (limits_requests() && requests_left_ <= 0) ask_to_leave();
  if (!link_->is_full() && !listeners.empty()) listeners_passed(std::move(listeners));
  listeners.clear();
  co_await wait_until_drained();
  service_.abandon();
  for (ReactorThread& thread : threads_) thread.abandon();
  queue_.reset();
  link_->close();
  link_.reset();
}

void Worker::require_full_channel() const {
  const bool recycles = limits_requests() || options_.max_lifetime > Duration();
  if (!recycles || link_->is_full()) return;
  throw InvalidArgument(
      "--max-requests and --max-lifetime need the full handshake: "
      "without it a worker can't ask to be replaced");
}

void Worker::connection_passed(Connection connection) {
  try {
    connection.load_spilled(options_.limits.max_unused());
  } catch (const std::exception& error) {
    report_lost_(error.what());
    return ended(connection.id);
  }
  serve(std::move(connection));
}

void Worker::listeners_passed(std::vector<Fd> listeners) {
  if (service_.draining()) return;
  acceptors_.remove_if([](const Acceptor& acceptor) { return !acceptor.is_running(); });
  for (Acceptor& old : acceptors_) old.close();
  AcceptorOwner& owner = *this;
  for (Fd& listener : listeners) {
    const std::string text = local_address(listener.get()).text();
    try {
      set_nonblocking(listener.get());
    } catch (const SystemError& error) {
      report_(Severity::error, fmt::format("cannot accept on {}: {}", text, error.what()));
      continue;
    }
    acceptors_.emplace_back(reactor_, Listener::adopt(std::move(listener), text), owner, report_,
                            judge_, Judged::abstract_names,
                            options_.wake_all ? Sharing::wake_all : Sharing::wake_one);
    reactor_.spawn(acceptors_.back().run());
  }
}

void Worker::accept_asked() {
  for (Acceptor& acceptor : acceptors_) acceptor.look();
}

void Worker::queue_passed(Fd masters, Fd ours) {
  if (queue_) throw ProtocolError("cannot read the channel: the master sent a second queue");
  const std::shared_ptr<MasterChannel> link = link_;
  queue_ = std::make_shared<QueueEnd>(
      service_, std::move(masters), std::move(ours),
      QueueEnd::Owner{[link] { link->wake_master(channel::Type::queue); },
                      [this] { changed_.set(); },
                      [this](Call& call, const std::function<void(Result)>& done) {
                        return run_elsewhere(call, done);
                      }});
}

void Worker::accepted(Connection connection) {
  if (link_) link_->started(connection.id = channel::kOwnId | ++last_own_id_);
  serve(std::move(connection));
}

void Worker::leaves_to_others() {
  if (link_) link_->wake_master(channel::Type::listener);
}

void Worker::listeners_missed() {
  report_(Severity::error, fmt::format("cannot receive the listeners: {}", error_text(EMFILE)));
}

void Worker::connections_missed(std::size_t count) {
  report_lost_(fmt::format("receive {}: {}", counted(count, "connection"), error_text(EMFILE)));
}

/// A master is asked; without one there is nobody who would take over.
void Worker::ask_to_leave() {
  if (service_.draining()) return;
  if (link_) return link_->leave();
  drain({});
}

Task<void> Worker::run_alone(const std::vector<Address>& addresses) {
  ListenOptions listen;
  listen.allow_public = options_.allow_public;
  std::string line = "ready, on";
  AcceptorOwner& owner = *this;
  for (const Address& address : addresses) {
    for (Listener& listener : listen_on_all(address, listen)) {
      acceptors_.emplace_back(reactor_, std::move(listener), owner, report_, judge_);
      line += " " + acceptors_.back().listener().text();
    }
  }
  reactor_.spawn(watch_signals());
  for (Acceptor& acceptor : acceptors_) reactor_.spawn(acceptor.run());
  report_(Severity::info, line);
  co_await wait_until_drained();
}

Task<void> Worker::run_on_stdio() {
  reactor_.spawn(watch_signals());
  if (socket_type(STDIN_FILENO)) {
    Session::open(service_, {.socket = Fd(STDIN_FILENO)});
    co_return co_await wait_until_idle();
  }
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  Session::open(service_, {.socket = std::move(theirs)});
  const auto relay = std::make_shared<Relay>(reactor_, std::move(ours));
  reactor_.spawn(copy(relay, relay->input, relay->session));
  reactor_.spawn(relay_output(relay));
  ++relaying_;
  co_await wait_until_idle();
}

/// The session's end is not the end: what it has written is still to be copied.
Task<void> Worker::relay_output(std::shared_ptr<Relay> relay) {
  co_await copy(relay, relay->session, relay->output);
  --relaying_;
  changed_.set();
}

Task<void> Worker::watch_signals() {
  reap_orphans();  // those of which no signal tells any more
  return handoff::watch_signals(reactor_, signals_,
                                [this](const ReceivedSignal& signal) { handle_signal(signal); });
}

void Worker::handle_signal(const ReceivedSignal& signal) {
  if (signal.number == SIGHUP && options_.reloads) return reload();
  if (signal.number == SIGCHLD) return reap_orphans();
  cut_short_ = leaving_;
  leaving_ = true;
  waiting_for_master_.cancel();
  changed_.set();
  if (link_) {
    leave();
  } else {
    drain({});
  }
}

/// When that is impossible, what there was goes on.
void Worker::reload() {
  try {
    service_.table = make_method_table_();
    for (ReactorThread& thread : threads_) thread.reload();
    report_(Severity::info,
            fmt::format("reloaded, {}", counted(service_.table->names().size(), "method")));
  } catch (const std::exception& error) {
    report_(Severity::error, fmt::format("{}; the methods stay as they were", error.what()));
  }
}

/// A signal has ended us: the master takes the connections back, unless it does not answer.
void Worker::leave() {
  if (service_.draining()) return;
  link_->leave();
  set_drain_limit();
}

void Worker::drain(channel::Drain how) {
  if (service_.draining()) {
    // Nobody takes them any more.
    if (!how.give_back) drain_services(false);
    return;
  }
  for (Acceptor& acceptor : acceptors_) {
    if (!how.give_back) acceptor.accept_waiting();  // nobody else does
    acceptor.close();
  }
  join_again_ = how.join_again;
  if (link_) link_->report_immediately();
  drain_services(how.give_back);
  set_drain_limit();
  changed_.set();
}

void Worker::set_drain_limit() {
  if (drained_by_ != kNever) return;
  drained_by_ = deadline_after(reactor_.now(), options_.drain_timeout);
  drain_alarm_.emplace(reactor_, changed_, drained_by_);
}

Task<void> Worker::wait_until_drained() {
  std::optional<EventTimeout> lifetime;
  const TimePoint old = deadline_after(reactor_.now(), options_.max_lifetime);
  lifetime.emplace(reactor_, changed_, old);
  while (!service_.draining() && !is_overdue()) {
    changed_.clear();
    co_await changed_;
    if (lifetime && reactor_.now() >= old) {
      lifetime.reset();
      ask_to_leave();
    }
  }
  co_await wait_until_idle();
}

bool Worker::is_overdue() const {
  return cut_short_ || reactor_.now() >= drained_by_;
}

/// Until nothing is left, and what is to be said to the master was said.
Task<void> Worker::wait_until_idle() {
  while (is_busy() && !is_overdue()) {
    changed_.clear();
    co_await changed_;
  }
  cut_off_ = held() + (queue_ ? queue_->running() : 0);
}

bool Worker::is_busy() const {
  return held() + relaying_ > 0 || (queue_ && !queue_->idle()) || (link_ && !link_->idle());
}

}  // namespace handoff

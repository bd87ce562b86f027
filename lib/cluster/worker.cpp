// SPDX-License-Identifier: MIT
#include "cluster/worker.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <memory>

#include "async/stream.hpp"
#include "os/error.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// Descriptors that are kept back from credits: standard streams, epoll, listeners, and for each
/// call that may run those of its command.
constexpr std::size_t kReservedDescriptors = 64;
constexpr std::size_t kDescriptorsPerCall = 6;

/// Within which a master that is there accepts.
constexpr auto kJoinTimeout = std::chrono::seconds(10);

std::size_t default_credits(std::size_t concurrency) {
  const std::size_t limit = descriptor_limit();
  const std::size_t reserved = kReservedDescriptors + kDescriptorsPerCall * concurrency;
  return limit > 2 * reserved ? limit - reserved : limit / 2;
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

Worker::Worker(Reactor& reactor, const SignalMask& signals, MakeHandlers make_handlers,
               const WorkerOptions& options, Report report)
    : reactor_(reactor),
      signals_(signals),
      make_handlers_(std::move(make_handlers)),
      options_(options),
      report_(std::move(report)),
      service_(reactor, make_handlers_(), options_.limits),
      changed_(reactor) {
  if (options_.credits == 0) options_.credits = default_credits(options_.limits.concurrency);
  service_.on_closed = [this](std::uint64_t id) {
    if (link_) link_->finished(id);
    changed_.set();
    for (Acceptor& acceptor : acceptors_) acceptor.resume();
  };
}

Task<void> Worker::run_on_channel(Fd channel) {
  reactor_.spawn(watch_signals());
  co_await serve_channel(std::move(channel));
}

Task<void> Worker::run_joined(Address address) {
  Fd channel = co_await connect_to_master(address);
  reactor_.spawn(watch_signals());
  for (;;) {
    report_(Severity::info, fmt::format("joined, on {}", address.text));
    co_await serve_channel(std::move(channel));
    if (leaving_) co_return;
    try {
      channel = co_await connect_to_master(address);
    } catch (const Unreachable&) {
      report_(Severity::info, fmt::format("left, on {}: the master is gone", address.text));
      co_return;
    }
    if (leaving_) co_return;
    service_.draining = false;
    drain_alarm_.reset();
    drained_by_ = kNever;
  }
}

/// The socket's type is the master's choice.
Task<Fd> Worker::connect_to_master(const Address& address) {
  const TimePoint limit = deadline_after(Clock::now(), kJoinTimeout);
  try {
    Connection full = co_await connect_to(reactor_, address, limit, SOCK_SEQPACKET);
    co_return std::move(full.socket);
  } catch (const Unreachable&) {
    // It may speak the plain form.
  }
  Connection plain = co_await connect_to(reactor_, address, limit, SOCK_STREAM);
  co_return std::move(plain.socket);
}

Task<void> Worker::serve_channel(Fd channel) {
  link_ = std::make_shared<MasterLink>(reactor_, static_cast<MasterLink::Owner&>(*this),
                                       std::move(channel));
  link_->start(options_.credits);
  co_await wait_until_drained();
  link_->close();
  link_.reset();
}

void Worker::connection_passed(const channel::Entry& entry, Fd connection) {
  Session::open(service_, std::move(connection), entry.id);
}

void Worker::connection_missed() {
  report_(Severity::error, fmt::format("receive a connection: {}", error_text(EMFILE)));
}

Task<void> Worker::run_alone(const std::vector<Address>& addresses) {
  ListenOptions listen;
  listen.allow_public = options_.allow_public;
  std::string line = "ready, on";
  AcceptorOwner& owner = *this;
  for (const Address& address : addresses) {
    acceptors_.emplace_back(reactor_, listen_on(address, listen), owner, report_);
    line += " " + acceptors_.back().listener().text();
  }
  reactor_.spawn(watch_signals());
  for (Acceptor& acceptor : acceptors_) reactor_.spawn(acceptor.run());
  report_(Severity::info, line);
  co_await wait_until_drained();
}

Task<void> Worker::run_on_stdio() {
  reactor_.spawn(watch_signals());
  if (socket_type(STDIN_FILENO)) {
    Session::open(service_, Fd(STDIN_FILENO));
    co_return co_await wait_until_idle();
  }
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  Session::open(service_, std::move(theirs));
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
  Readiness readiness(reactor_, signals_.fd());
  for (;;) {
    while (const auto signal = signals_.try_read()) {
      if (*signal == SIGHUP && options_.reloads) {
        reload();
        continue;
      }
      cut_short_ = leaving_;
      leaving_ = true;
      changed_.set();
      if (link_) link_->leave();
      drain();
    }
    co_await readiness.readable();
  }
}

/// When that is impossible, what there was goes on.
void Worker::reload() {
  try {
    service_.handlers = make_handlers_();
    report_(Severity::info,
            fmt::format("reloaded, {}", counted(service_.handlers->names().size(), "method")));
  } catch (const std::exception& error) {
    report_(Severity::error, fmt::format("{}; the methods stay as they were", error.what()));
  }
}

void Worker::drain() {
  if (service_.draining) return;
  for (Acceptor& acceptor : acceptors_) {
    acceptor.accept_waiting();
    acceptor.close();
  }
  service_.drain();
  drained_by_ = deadline_after(reactor_.now(), options_.drain_timeout);
  drain_alarm_.emplace(reactor_, changed_, drained_by_);
  changed_.set();
}

Task<void> Worker::wait_until_drained() {
  while (!service_.draining) {
    changed_.clear();
    co_await changed_;
  }
  co_await wait_until_idle();
}

Task<void> Worker::wait_until_idle() {
  while (service_.open + relaying_ > 0 && !cut_short_ && reactor_.now() < drained_by_) {
    changed_.clear();
    co_await changed_;
  }
  cut_off_ = service_.open;
}

}  // namespace handoff

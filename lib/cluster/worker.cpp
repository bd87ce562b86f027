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
#include "pass/fd_passing.hpp"

namespace handoff {
namespace {

/// Descriptors that are kept back from credits: standard streams, epoll, listeners, and for each
/// call that may run those of its command.
constexpr std::size_t kReservedDescriptors = 64;
constexpr std::size_t kDescriptorsPerCall = 6;

/// Ids in one FINISHED message at most; it stays far below channel::kMaxMessage.
constexpr std::size_t kMaxFinished = 1024;

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

Worker::Worker(Reactor& reactor, const SignalMask& signals, const Handlers& handlers,
               const WorkerOptions& options, Report report)
    : reactor_(reactor),
      signals_(signals),
      options_(options),
      report_(std::move(report)),
      service_(reactor, handlers, options_.limits),
      some_finished_(reactor),
      changed_(reactor) {
  if (options_.credits == 0) options_.credits = default_credits(options_.limits.concurrency);
  service_.on_closed = [this](std::uint64_t id) {
    finished_.push_back(id);
    some_finished_.set();
    changed_.set();
    for (Acceptor& acceptor : acceptors_) acceptor.resume();
  };
}

Task<void> Worker::run_on_channel(Fd channel) {
  const auto type = socket_type(channel.get());
  if (!type) throw InvalidArgument("channel: the descriptor is not a socket");
  set_close_on_exec(channel.get(), true);
  channel_ = std::move(channel);
  channel_readiness_.emplace(reactor_, channel_.get());
  reactor_.spawn(watch_signals());
  if (*type == SOCK_STREAM) {
    reactor_.spawn(receive_plain());
  } else {
    channel::Hello hello;
    hello.pid = static_cast<std::uint32_t>(getpid());
    hello.credits = static_cast<std::uint32_t>(options_.credits);
    co_await send(channel::encode_hello(hello));
    co_await send(channel::encode_ready());
    reactor_.spawn(receive_messages());
    reactor_.spawn(report_finished());
  }
  co_await wait_until_drained();
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
    while (signals_.try_read()) {
      cut_short_ = service_.draining;
      changed_.set();
      // The master shall pass nothing more to us: it reads this as our end.
      if (channel_.valid()) shutdown(channel_.get(), SHUT_WR);
      drain();
    }
    co_await readiness.readable();
  }
}

Task<void> Worker::receive_messages() {
  const auto packet = std::make_unique<std::array<char, channel::kMaxMessage>>();
  for (;;) {
    ReceiveResult result = recv_fds(channel_.get(), *packet, channel::kMaxEntries);
    if (result.outcome == ReceiveOutcome::end) break;
    if (result.outcome == ReceiveOutcome::would_block) {
      co_await channel_readiness_->readable();
    } else if (result.outcome != ReceiveOutcome::reset) {
      handle({packet->data(), result.size}, result.descriptors);
    }
  }
  drain();  // the master is gone
}

void Worker::handle(std::span<const char> packet, std::vector<Fd>& descriptors) {
  const auto message = channel::decode(packet);
  if (!message) throw ProtocolError("channel: the master sent no valid message");
  switch (message->type) {
    case channel::Type::drain: return drain();
    case channel::Type::connection:
      for (std::size_t i = 0; i < message->entries.size(); ++i) {
        if (i < descriptors.size()) {
          Session::open(service_, std::move(descriptors[i]), message->entries[i].id);
        } else {
          // Our table was full: the descriptor did not arrive (MSG_CTRUNC).
          report_(Severity::error, fmt::format("receive a connection: {}", error_text(EMFILE)));
          service_.on_closed(message->entries[i].id);
        }
      }
      return;
    default: throw ProtocolError("channel: the master sent a message that only a worker sends");
  }
}

Task<void> Worker::receive_plain() {
  std::array<char, 1> byte;
  for (;;) {
    ReceiveResult result = recv_fds(channel_.get(), byte, 1);
    switch (result.outcome) {
      case ReceiveOutcome::would_block: co_await channel_readiness_->readable(); break;
      case ReceiveOutcome::reset: break;
      case ReceiveOutcome::end: drain(); co_return;
      case ReceiveOutcome::truncated:
        report_(Severity::error, fmt::format("receive a connection: {}", error_text(EMFILE)));
        break;
      case ReceiveOutcome::received:
        for (Fd& connection : result.descriptors) {
          Session::open(service_, std::move(connection));
        }
        break;
    }
  }
}

/// The ids of ended connections, those of one turn of the loop in one message.
Task<void> Worker::report_finished() {
  for (;;) {
    co_await some_finished_;
    some_finished_.clear();
    while (!finished_.empty()) {
      const std::size_t count = std::min(finished_.size(), kMaxFinished);
      std::string message = channel::encode_finished({finished_.data(), count});
      finished_.erase(finished_.begin(), finished_.begin() + static_cast<std::ptrdiff_t>(count));
      co_await send(std::move(message));
    }
  }
}

Task<void> Worker::send(std::string message) {
  while (send_fds(channel_.get(), message, {}).outcome == SendOutcome::would_block) {
    co_await channel_readiness_->writable();
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

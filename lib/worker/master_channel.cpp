// SPDX-License-Identifier: MIT
#include "worker/master_channel.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>

#include "os/socket.hpp"

namespace handoff {
namespace {

/// After this many messages of the master the rest of the process has a turn.
constexpr int kMessagesPerTurn = 64;

constexpr auto kRetryPause = std::chrono::milliseconds(10);

/// With this few connections each end is reported at once: gathering saves little, and a master
/// that has just been woken is quicker with the next client.
constexpr std::size_t kFew = 8;

bool comes_from_master(channel::Type type) {
  switch (type) {
    case channel::Type::connection:
    case channel::Type::listener:
    case channel::Type::queue:
    case channel::Type::drain:
    case channel::Type::lame_duck:
    case channel::Type::refused:
    case channel::Type::requests:
    case channel::Type::ledger: return true;
    default: return false;
  }
}

/// Calls a function if it is set.
template <typename... Parameters, typename... Arguments>
void tell(const std::function<void(Parameters...)>& function, Arguments&&... arguments) {
  if (function) { function(std::forward<Arguments>(arguments)...); }
}

}  // namespace

MasterChannel::MasterChannel(Reactor& reactor, LifeEvents life, TrafficEvents traffic, Fd channel,
                             Origin origin)
    : reactor_(reactor),
      life_(std::move(life)),
      traffic_(std::move(traffic)),
      channel_(std::move(channel)),
      watcher_(reactor, channel_.get()),
      origin_(origin),
      outbox_(reactor, watcher_, owner_of_outbox()) {
  const auto type = socket_type(channel_.get());
  if (!type) { throw InvalidArgument("cannot read the channel: the descriptor is not a socket"); }
  full_ = *type != SOCK_STREAM;
  set_close_on_exec(channel_.get());
}

Outbox::Owner MasterChannel::owner_of_outbox() {
  Outbox::Owner owner;
  owner.send = [this](const std::string& message, std::span<const int> descriptors) {
    return send(message, descriptors);
  };
  owner.has_been_read = [this] {
    return phase_ == MasterChannelPhase::closed || has_been_read(channel_.get());
  };
  owner.announced = [this](std::vector<Connection> started, SendOutcome outcome) {
    begin(std::move(started), outcome);
  };
  owner.not_spilled = [this](const Connection& connection, int error) {
    tell(traffic_.connection_not_returned, connection.unread_size(), error);
  };
  owner.not_sent = [this](const Connection&, int error) { tell(traffic_.return_failed, error); };
  owner.all_sent = [this] { tell(life_.all_sent); };
  return owner;
}

/// The only function that changes the phase. The columns are what happens to a channel, and each
/// row begins with the phase before:
///
///               | a message   | the master's end  | a call fails      | close()
///   ------------+-------------+-------------------+-------------------+--------
///   open        | open        | gone, told        | failed, told      | closed
///   failed      | failed      | failed_gone, told | failed            | closed
///   gone        | nothing is received             | failed_gone, told | closed
///   failed_gone | nothing is received             | failed_gone       | closed
///   closed      | nothing is received, sent or told any more
void MasterChannel::enter(MasterChannelPhase next) {
  const MasterChannelPhase before = std::exchange(phase_, next);
  if (next == before || next != MasterChannelPhase::closed) { return; }
  watcher_.interrupt();
  outbox_.stop();
}

bool MasterChannel::receives() const {
  return phase_ == MasterChannelPhase::open || phase_ == MasterChannelPhase::failed;
}

void MasterChannel::close() {
  enter(MasterChannelPhase::closed);
}

/// The shutdown wakes the receiving task, which then finds the end of the channel.
void MasterChannel::fail(int error) {
  switch (phase_) {
    case MasterChannelPhase::open: enter(MasterChannelPhase::failed); break;
    case MasterChannelPhase::gone: enter(MasterChannelPhase::failed_gone); break;
    default: return;
  }
  shutdown(channel_.get(), SHUT_RDWR);
  tell(life_.failed, error);
}

void MasterChannel::receiving_ended() {
  switch (phase_) {
    case MasterChannelPhase::open: enter(MasterChannelPhase::gone); break;
    case MasterChannelPhase::failed: enter(MasterChannelPhase::failed_gone); break;
    default: return;
  }
  tell(life_.master_gone);
}

void MasterChannel::start(std::size_t credits, std::size_t calls, Ready ready) {
  if (!full_) { return reactor_.spawn(receive_plain(shared_from_this())); }
  credits_ = credits;
  channel::Hello hello;
  hello.pid = static_cast<std::uint32_t>(getpid());
  hello.credits = static_cast<std::uint32_t>(credits);
  hello.calls = static_cast<std::uint32_t>(calls);
  hello.answers = true;
  hello.takes_lame_duck = true;
  hello.wants_ledger = ledger_threads_ > 0;
  if (hello.wants_ledger) { hello.threads = static_cast<std::uint32_t>(ledger_threads_); }
  hello.counts_methods = hello.wants_ledger;
  outbox_.post(channel::encode_hello(hello));
  if (ready == Ready::at_start) { send_ready(); }
  reactor_.spawn(Outbox::run(outbox_, shared_from_this()));
  reactor_.spawn(receive_messages(shared_from_this()));
}

void MasterChannel::started(std::uint64_t id) {
  ++held_;
  if (full_) { outbox_.started(id); }
}

void MasterChannel::finished(std::uint64_t id) {
  const IdReports::Urgency how = urgency();
  if (held_ > 0) { --held_; }
  if (full_) { outbox_.finished(id, how); }
}

/// A master that passes nothing more until it learns of an end is told of it at once.
IdReports::Urgency MasterChannel::urgency() const {
  using Urgency = IdReports::Urgency;
  const bool is_awaited = master_is_short_ || 2 * held_ >= credits_;
  return is_awaited || held_ <= kFew ? Urgency::at_once : Urgency::soon;
}

void MasterChannel::report_immediately() {
  outbox_.report_immediately();
}

void MasterChannel::deposit(Connection copy) {
  if (ledger_) { outbox_.deposit(std::move(copy)); }
}

void MasterChannel::give_back(Connection connection) {
  if (held_ > 0) { --held_; }
  outbox_.give_back(std::move(connection));
}

void MasterChannel::wake_master(channel::Type type) {
  if (!full_) { return; }
  const std::string message = channel::encode_passing(type, 0);
  if (type == channel::Type::listener) { return outbox_.post(message); }
  // If the channel has no room, the master has unread messages, and looks at the queue when it
  // reads them.
  send(message, {});
}

void MasterChannel::leave() {
  if (full_) { return outbox_.post(channel::encode_leave()); }
  // The master can send nothing more either. What it has sent is still received, and then the end.
  shutdown(channel_.get(), SHUT_RDWR);
}

// Receiving.

Task<void> MasterChannel::receive_messages(std::shared_ptr<MasterChannel> self) {
  const auto packet = std::make_unique<std::array<char, channel::kMaxMessage>>();
  int messages = 0;
  while (self->receives()) {
    ReceiveResult result = recv_fds(self->channel_.get(), *packet, channel::kMaxDescriptors);
    switch (result.outcome) {
      case ReceiveOutcome::would_block:
        co_await self->watcher_.readable();
        messages = 0;
        break;
      case ReceiveOutcome::exhausted:
        co_await self->reactor_.sleep_until(self->reactor_.now() + kRetryPause);
        break;
      case ReceiveOutcome::reset: break;
      case ReceiveOutcome::failed: self->fail(result.error_number); [[fallthrough]];
      case ReceiveOutcome::end: self->receiving_ended(); break;
      case ReceiveOutcome::truncated:
      case ReceiveOutcome::received:
        self->handle({packet->data(), result.size}, std::move(result.descriptors));
        if (++messages < kMessagesPerTurn) { break; }
        co_await self->reactor_.yield();
        messages = 0;
        break;
    }
  }
}

Task<void> MasterChannel::receive_plain(std::shared_ptr<MasterChannel> self) {
  std::array<char, 1> byte;
  while (self->receives()) {
    ReceiveResult result = recv_fds(self->channel_.get(), byte, channel::kMaxEntries);
    switch (result.outcome) {
      case ReceiveOutcome::would_block: co_await self->watcher_.readable(); break;
      case ReceiveOutcome::reset: break;
      case ReceiveOutcome::exhausted:
        co_await self->reactor_.sleep_until(self->reactor_.now() + kRetryPause);
        break;
      case ReceiveOutcome::failed: self->fail(result.error_number); [[fallthrough]];
      case ReceiveOutcome::end: self->receiving_ended(); break;
      case ReceiveOutcome::truncated: tell(self->traffic_.connections_missed, 1U); break;
      case ReceiveOutcome::received: self->take_plain(std::move(result.descriptors)); break;
    }
  }
}

void MasterChannel::take_plain(std::vector<Fd> descriptors) {
  if (descriptors.empty()) { return; }
  ++heard_;
  if (is_listening(descriptors.front().get())) {
    return tell(traffic_.listeners_passed, std::move(descriptors));
  }
  for (Fd& socket : descriptors) {
    tell(traffic_.connection_passed, Connection{.socket = std::move(socket)});
  }
}

void MasterChannel::handle(std::span<const char> packet, std::vector<Fd> descriptors) {
  auto message = channel::decode(packet, std::move(descriptors));
  if (!message) {
    throw ProtocolError("cannot read the channel: the master sent no valid message");
  }
  if (!comes_from_master(message->type)) {
    throw ProtocolError(
        "cannot read the channel: the master sent a message that only a worker sends");
  }
  if (++heard_ == 1) { tell(life_.master_heard); }
  switch (message->type) {
    case channel::Type::drain: return tell(life_.drain_asked, message->drain);
    case channel::Type::lame_duck: return tell(life_.lame_duck_asked);
    case channel::Type::connection: return start_connections(*message);
    case channel::Type::listener:
    case channel::Type::queue: return take_source(*message);
    case channel::Type::requests: return count_requests();
    case channel::Type::ledger: return take_ledger(*message);
    default: return;  // a refused deposit needs no action
  }
}

void MasterChannel::count_requests() {
  if (!traffic_.requests_asked) { return tell_requests(0); }
  traffic_.requests_asked(
      [self = shared_from_this()](std::uint64_t requests) { self->tell_requests(requests); });
}

void MasterChannel::tell_requests(std::uint64_t requests) {
  if (phase_ == MasterChannelPhase::closed) { return; }
  outbox_.post_after_reports(channel::encode_requests(requests));
}

void MasterChannel::take_source(channel::Message& message) {
  const bool is_listener = message.type == channel::Type::listener;
  std::vector<Fd>& descriptors = message.descriptors;
  if (descriptors.size() != message.announced) {
    if (is_listener) { return tell(traffic_.listeners_missed); }
    throw ProtocolError("cannot read the channel: a queue came without its memories");
  }
  if (descriptors.empty()) {
    if (is_listener) { tell(traffic_.accept_asked); }
    return;  // the message has done its work by waking this process
  }
  if (is_listener) { return tell(traffic_.listeners_passed, std::move(descriptors)); }
  if (descriptors.size() != 2) {
    throw ProtocolError("cannot read the channel: a queue has two memories");
  }
  tell(traffic_.queue_passed, std::move(descriptors[0]), std::move(descriptors[1]));
}

void MasterChannel::take_ledger(const channel::Message& message) {
  if (ledger_threads_ == 0) {
    throw ProtocolError("cannot read the channel: the master sent a ledger that was not asked for");
  }
  ledger_.open(message);
  tell(traffic_.ledger_passed, ledger_.get());
}

void MasterChannel::start_connections(channel::Message& message) {
  std::vector<Connection> at_once;
  std::vector<std::uint64_t> told;
  std::vector<Connection> announced;
  std::vector<std::uint64_t> started;
  std::vector<std::uint64_t> refused;
  for (Connection& connection : message.connections) {
    if (!connection.is_complete()) {
      refused.push_back(connection.id);
    } else if (!ledger_.take(connection)) {
      continue;  // the master has given it to another worker
    } else if (connection.entry != nullptr) {
      master_is_short_ = connection.wants_started;
      if (connection.wants_started) { told.push_back(connection.id); }
      at_once.push_back(std::move(connection));
    } else {
      started.push_back(connection.id);
      announced.push_back(std::move(connection));
    }
  }
  if (!refused.empty()) {
    tell(traffic_.connections_missed, refused.size());
    outbox_.post(channel::encode_ids(channel::Type::refused, refused));
  }
  if (!started.empty()) {
    outbox_.post(channel::encode_ids(channel::Type::started, started), std::move(announced));
  }
  if (!at_once.empty()) { begin(std::move(at_once), SendOutcome::sent); }
  if (!told.empty()) { outbox_.post(channel::encode_ids(channel::Type::started, told)); }
}

// Sending.

/// Connections that the master has given to another worker are closed.
void MasterChannel::begin(std::vector<Connection> started, SendOutcome outcome) {
  if (outcome == SendOutcome::failed) { return; }
  if (origin_ == Origin::joined && outcome != SendOutcome::sent) { return; }
  for (Connection& connection : started) {
    if (phase_ == MasterChannelPhase::closed) { return; }
    ++held_;
    tell(traffic_.connection_passed, std::move(connection));
  }
  tell(traffic_.all_passed);
}

/// If a message without descriptors fails, the channel itself is the reason.
SendResult MasterChannel::send(const std::string& message, std::span<const int> descriptors) {
  switch (phase_) {
    case MasterChannelPhase::closed: return {SendOutcome::closed};
    case MasterChannelPhase::failed:
    case MasterChannelPhase::failed_gone:
      return {descriptors.empty() ? SendOutcome::failed : SendOutcome::closed};
    default: break;
  }
  const SendResult result = send_fds(channel_.get(), message, descriptors);
  if (result.outcome == SendOutcome::failed && descriptors.empty()) { fail(result.error_number); }
  return result;
}

}  // namespace handoff

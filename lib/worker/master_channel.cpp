// SPDX-License-Identifier: MIT
#include "worker/master_channel.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "os/error.hpp"
#include "os/socket.hpp"
#include "wire/errors.hpp"

namespace handoff {
namespace {

/// Ids in one message at most; it stays far below channel::kMaxMessage.
constexpr std::size_t kMaxIds = 1024;

/// How often connections that we have accepted ourselves are told of.
constexpr auto kReportPause = std::chrono::milliseconds(50);

/// After so many messages of the master others have a turn.
constexpr int kMessagesPerTurn = 64;

constexpr auto kRetryPause = std::chrono::milliseconds(10);

/// Whether another try would fail too: memfd_create(2) is not to be had, or the bytes exceed the
/// limit of file sizes (RLIMIT_FSIZE).
bool is_permanent(int error_number) {
  return is_refused(error_number) || error_number == EFBIG;
}

bool comes_from_master(channel::Type type) {
  switch (type) {
    case channel::Type::connection:
    case channel::Type::listener:
    case channel::Type::queue:
    case channel::Type::drain:
    case channel::Type::requests: return true;
    default: return false;
  }
}

}  // namespace

MasterLink::MasterLink(Reactor& reactor, Owner& owner, Fd channel, bool joined)
    : Timer(reactor),
      reactor_(reactor),
      owner_(owner),
      channel_(std::move(channel)),
      watcher_(reactor, channel_.get()),
      joined_(joined),
      some_to_send_(reactor) {
  const auto type = socket_type(channel_.get());
  if (!type) throw InvalidArgument("cannot read the channel: the descriptor is not a socket");
  full_ = *type != SOCK_STREAM;
  set_close_on_exec(channel_.get(), true);
}

void MasterLink::start(std::size_t credits, std::size_t calls, bool ready) {
  if (!full_) return reactor_.spawn(receive_plain(shared_from_this()));
  channel::Hello hello;
  hello.pid = static_cast<std::uint32_t>(getpid());
  hello.credits = static_cast<std::uint32_t>(credits);
  hello.calls = static_cast<std::uint32_t>(calls);
  hello.answers = true;
  post(channel::encode_hello(hello));
  if (ready) send_ready();
  reactor_.spawn(send_messages(shared_from_this()));
  reactor_.spawn(receive_messages(shared_from_this()));
}

void MasterLink::started(std::uint64_t id) {
  if (full_) report_later(started_, id);
}

/// The master counts those that we have accepted ourselves, and need not know at once.
void MasterLink::report_later(std::vector<std::uint64_t>& ids, std::uint64_t id) {
  ids.push_back(id);
  if (hurried_ || ids.size() >= kMaxIds) return wake();
  if (!std::exchange(reports_later_, true)) set(reactor_.now() + kReportPause);
}

void MasterLink::hurry() {
  hurried_ = true;
  on_timer();
}

void MasterLink::on_timer() {
  reports_later_ = false;
  if (!started_.empty() || !finished_.empty()) wake();
}

void MasterLink::finished(std::uint64_t id) {
  if (!full_) return;
  if ((id & channel::kOwnId) != 0) return report_later(finished_, id);
  finished_.push_back(id);
  wake();
}

void MasterLink::give_back(Connection connection) {
  returned_.push_back(std::move(connection));
  wake();
}

void MasterLink::wake_master(channel::Type type) {
  if (!full_) return;
  const std::string message = channel::encode_passing(type, 0);
  if (type == channel::Type::listener) return post(message);
  // With no room for it there are messages that the master has not read, and it looks when it does.
  send_now(message, {});
}

void MasterLink::leave() {
  if (full_) return post(channel::encode_leave());
  // The master can send nothing more either. What it has sent is still received, and then the end.
  shutdown(channel_.get(), SHUT_RDWR);
}

void MasterLink::close() {
  closed_ = true;
  cancel();
  watcher_.interrupt();
  some_to_send_.set();
}

Task<void> MasterLink::receive_messages(std::shared_ptr<MasterLink> self) {
  const auto packet = std::make_unique<std::array<char, channel::kMaxMessage>>();
  int messages = 0;
  while (!self->closed_) {
    ReceiveResult result = recv_fds(self->channel_.get(), *packet, channel::kMaxDescriptors);
    if (result.outcome == ReceiveOutcome::end) break;
    if (result.outcome == ReceiveOutcome::would_block) {
      co_await self->watcher_.readable();
      messages = 0;
    } else if (result.outcome == ReceiveOutcome::exhausted) {
      co_await self->reactor_.sleep_until(self->reactor_.now() + kRetryPause);
    } else if (result.outcome == ReceiveOutcome::failed) {
      self->break_off(result.error_number);
      break;
    } else if (result.outcome != ReceiveOutcome::reset) {
      self->handle({packet->data(), result.size}, std::move(result.descriptors));
      if (++messages < kMessagesPerTurn) continue;
      co_await self->reactor_.yield();
      messages = 0;
    }
  }
  if (!self->closed_) self->owner_.master_gone();
}

void MasterLink::handle(std::span<const char> packet, std::vector<Fd> descriptors) {
  auto message = channel::decode(packet, std::move(descriptors));
  if (!message) throw ProtocolError("cannot read the channel: the master sent no valid message");
  if (!comes_from_master(message->type)) {
    throw ProtocolError(
        "cannot read the channel: the master sent a message that only a worker sends");
  }
  if (!std::exchange(heard_, true)) owner_.master_heard();
  switch (message->type) {
    case channel::Type::drain: return owner_.drain_asked(message->drain);
    case channel::Type::connection: return start_connections(*message);
    case channel::Type::listener:
    case channel::Type::queue: return take_source(*message);
    case channel::Type::requests:
      return owner_.when_threads_answer([self = shared_from_this()] { self->tell_requests(); });
    default: return;  // a master sends no others
  }
}

void MasterLink::tell_requests() {
  if (closed_) return;
  // What else is counted goes before it.
  if (send_queued()) send_ids(channel::Type::started, started_);
  if (started_.empty()) send_ids(channel::Type::finished, finished_);
  post(channel::encode_requests(owner_.requests()));
}

void MasterLink::take_source(channel::Message& message) {
  const bool is_listener = message.type == channel::Type::listener;
  std::vector<Fd>& descriptors = message.descriptors;
  if (descriptors.size() != message.announced) {
    if (is_listener) return owner_.listeners_missed();
    throw ProtocolError("cannot read the channel: a queue came without its memories");
  }
  if (descriptors.empty()) {
    if (is_listener) owner_.accept_asked();
    return;  // awake is all that a queue wants us to be
  }
  if (is_listener) return owner_.listeners_passed(std::move(descriptors));
  if (descriptors.size() != 2)
    throw ProtocolError("cannot read the channel: a queue has two memories");
  owner_.queue_passed(std::move(descriptors[0]), std::move(descriptors[1]));
}

void MasterLink::start_connections(channel::Message& message) {
  std::vector<Connection> complete;
  std::vector<std::uint64_t> started;
  std::vector<std::uint64_t> refused;
  for (Connection& connection : message.connections) {
    (connection.is_complete() ? started : refused).push_back(connection.id);
    if (connection.is_complete()) complete.push_back(std::move(connection));
  }
  if (!refused.empty()) {
    owner_.connections_missed(refused.size());
    post(channel::encode_ids(channel::Type::refused, refused));
  }
  if (!started.empty()) {
    post(channel::encode_ids(channel::Type::started, started), std::move(complete));
  }
}

Task<void> MasterLink::receive_plain(std::shared_ptr<MasterLink> self) {
  std::array<char, 1> byte;
  while (!self->closed_) {
    ReceiveResult result = recv_fds(self->channel_.get(), byte, channel::kMaxEntries);
    switch (result.outcome) {
      case ReceiveOutcome::would_block: co_await self->watcher_.readable(); break;
      case ReceiveOutcome::reset: break;
      case ReceiveOutcome::exhausted:
        co_await self->reactor_.sleep_until(self->reactor_.now() + kRetryPause);
        break;
      case ReceiveOutcome::failed: self->break_off(result.error_number); [[fallthrough]];
      case ReceiveOutcome::end: self->owner_.master_gone(); co_return;
      case ReceiveOutcome::truncated: self->owner_.connections_missed(1); break;
      case ReceiveOutcome::received:
        self->heard_ = self->heard_ || !result.descriptors.empty();
        if (!result.descriptors.empty() && is_listening(result.descriptors.front().get())) {
          self->owner_.listeners_passed(std::move(result.descriptors));
          break;
        }
        for (Fd& socket : result.descriptors) {
          self->owner_.connection_passed({.socket = std::move(socket)});
        }
        break;
    }
  }
}

void MasterLink::wake() {
  sent_all_ = false;
  some_to_send_.set();
}

/// At once, when nothing is before it.
void MasterLink::post(std::string message, std::vector<Connection> started) {
  outgoing_.push_back({std::move(message), std::move(started)});
  if (sent_all_ && outgoing_.size() == 1 && send_queued()) return;
  wake();
}

/// What ended or was returned in one turn of the loop goes in one message.
Task<void> MasterLink::send_messages(std::shared_ptr<MasterLink> self) {
  while (!self->closed_) {
    co_await self->some_to_send_;
    self->some_to_send_.clear();
    while (!self->send_all()) {
      // It becomes writable also when the master reads a message.
      try {
        co_await self->watcher_.writable();
      } catch (const SystemError&) {
        self->waits_for_reader_ = false;  // tried again after a pause
      }
      // Too many descriptors in flight (ETOOMANYREFS) leave it writable.
      if (!self->waits_for_reader_ && !self->send_all())
        co_await self->reactor_.sleep_until(self->reactor_.now() + kRetryPause);
    }
    self->sent_all_ = true;
    self->owner_.all_sent();
  }
}

bool MasterLink::send_all() {
  waits_for_reader_ = false;
  return send_queued() && send_ids(channel::Type::started, started_) && send_returned() &&
         send_ids(channel::Type::finished, finished_);
}

/// False when the channel is full.
bool MasterLink::send_queued() {
  while (!outgoing_.empty()) {
    const SendOutcome outcome = send(outgoing_.front().message, {}).outcome;
    if (outcome == SendOutcome::would_block) return false;
    std::vector<Connection> started = std::exchange(outgoing_.front().started, {});
    outgoing_.pop_front();
    if (outcome == SendOutcome::failed) continue;  // the master gives them to another
    if (joined_ && outcome != SendOutcome::sent) continue;
    for (Connection& connection : started) owner_.connection_passed(std::move(connection));
    if (!started.empty()) owner_.all_passed();
  }
  return true;
}

/// One message at a time: it goes when the master has read the one before. The kernel counts the
/// descriptors in flight of all processes of a user, and lets none of them send while that is more
/// than its own limit. If workers returned all that they have at once, a master with its hands full
/// could neither pass on nor take.
bool MasterLink::may_return() {
  if (return_in_flight_ && has_been_read(channel_.get())) return_in_flight_ = false;
  waits_for_reader_ = return_in_flight_;
  return !return_in_flight_ || closed_;
}

/// Packs as many of the first as can be sent: long bytes need a memfd each, and so a descriptor. A
/// connection whose bytes can't be put into one ends, lest it holds up the others.
channel::PackedConnections MasterLink::pack_returned() {
  channel::PackedConnections packed(channel::Type::returned);
  while (packed.count() < std::min(returned_.size(), most_returned_)) {
    Connection& next = returned_[packed.count()];
    try {
      next.spill_to_memfd();
      if (!packed.add(next)) break;
    } catch (const SystemError& error) {
      if (!is_permanent(error.error_number())) break;
      finished_.push_back(next.id);
      const std::size_t unread = next.unread.size();
      returned_.erase(returned_.begin() + static_cast<std::ptrdiff_t>(packed.count()));
      owner_.connection_not_returned(unread, error.error_number());
    }
  }
  return packed;
}

bool MasterLink::send_returned() {
  while (!returned_.empty()) {
    if (!may_return()) return false;
    const channel::PackedConnections packed = pack_returned();
    if (packed.count() == 0) return returned_.empty();
    const SendResult result = send(packed.bytes(), packed.descriptors());
    if (result.outcome == SendOutcome::would_block) return false;
    if (result.outcome == SendOutcome::failed && std::exchange(most_returned_, 1) > 1) continue;
    if (result.outcome == SendOutcome::failed) {
      finished_.push_back(returned_.front().id);
      owner_.return_failed(result.error_number);
    } else {
      return_in_flight_ = true;
      most_returned_ = channel::kMaxEntries;
    }
    returned_.erase(returned_.begin(),
                    returned_.begin() + static_cast<std::ptrdiff_t>(packed.count()));
  }
  return true;
}

bool MasterLink::send_ids(channel::Type type, std::vector<std::uint64_t>& ids) {
  std::size_t sent = 0;
  bool all_sent = true;
  while (sent < ids.size() && all_sent) {
    const std::size_t count = std::min(ids.size() - sent, kMaxIds);
    all_sent = send_now(channel::encode_ids(type, {ids.data() + sent, count}), {});
    if (all_sent) sent += count;
  }
  ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(sent));
  return all_sent;
}

/// A failure that no descriptor of ours can be the reason of breaks the channel off.
SendResult MasterLink::send(const std::string& message, std::span<const int> descriptors) {
  if (closed_) return {SendOutcome::closed};
  if (broken_) return {descriptors.empty() ? SendOutcome::failed : SendOutcome::closed};
  const SendResult result = send_fds(channel_.get(), message, descriptors);
  if (result.outcome == SendOutcome::failed && descriptors.empty()) break_off(result.error_number);
  return result;
}

void MasterLink::break_off(int error) {
  broken_ = true;
  shutdown(channel_.get(), SHUT_RDWR);
  owner_.channel_failed(error);
}

/// True also when the master is gone: there is nobody to tell, and receiving finds out.
bool MasterLink::send_now(const std::string& message, std::span<const int> descriptors) {
  return send(message, descriptors).outcome != SendOutcome::would_block;
}

}  // namespace handoff

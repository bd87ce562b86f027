// SPDX-License-Identifier: MIT
#include "master/worker_channel.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>

#include "os/error.hpp"

namespace handoff {
namespace {

/// The byte that carries a descriptor when there is no handshake.
constexpr char kPlainByte = 0;

/// Connections on their way to a worker that it has not started: one that hangs holds no more up.
constexpr std::size_t kMaxUnstarted = 128;

/// After so many messages of one worker the others have a turn.
constexpr int kMessagesPerTurn = 64;

/// Questions that wait to be sent.
constexpr std::size_t kMaxQuestions = 4;

/// How long a worker without descriptors gets no connections.
constexpr auto kPause = std::chrono::milliseconds(100);

/// ETOOMANYREFS leaves the channel writable, and each attempt makes epoll say so again.
constexpr auto kRetryPause = std::chrono::milliseconds(10);

/// To receive what a worker that is gone has sent, while there is no memory for it.
constexpr int kMostAttempts = 100;

std::string unreadable(int error) {
  return fmt::format("its channel can't be read: {}", error_text(error));
}

}  // namespace

WorkerLink::WorkerLink(Reactor& reactor, Owner& owner, std::shared_ptr<Custody> custody,
                       Handshake handshake, int number, Fd channel, bool joined)
    : reactor_(reactor),
      owner_(owner),
      custody_(std::move(custody)),
      handshake_(handshake),
      number_(number),
      joined_(joined),
      channel_(std::move(channel)),
      watcher_(reactor, channel_.get()),
      packet_(std::make_unique_for_overwrite<char[]>(channel::kMaxMessage)) {
  if (handshake == Handshake::none) credits_ = std::numeric_limits<std::size_t>::max();
}

bool WorkerLink::has_room() const {
  // Without credits, a full channel is the only word of a worker that does not keep up.
  const bool keeps_up = is_full() ? queue_.size() + unstarted_.size() < kMaxUnstarted : !sending_;
  return open_ && !draining_ && !refusing_ && keeps_up && held() < credits_;
}

void WorkerLink::pass(HeldConnection held) {
  held.connection.id = ++last_id_;
  queue_.push_back(std::move(held));
  recount();
}

std::deque<HeldConnection> WorkerLink::take_unsent() {
  std::deque<HeldConnection> unsent = std::exchange(queue_, {});
  recount();
  return unsent;
}

void WorkerLink::recount() {
  const std::size_t now = held();
  const auto change = static_cast<std::ptrdiff_t>(now - counted_);
  counted_ = now;
  if (change != 0) owner_.held_changed(change);
}

Task<void> WorkerLink::receive(std::shared_ptr<WorkerLink> self) {
  int messages = 0;
  while (self->open_) {
    switch (self->receive_one()) {
      case Received::message:
        if (++messages < kMessagesPerTurn) break;
        co_await self->reactor_.yield();
        messages = 0;
        break;
      case Received::nothing: try { co_await self->watcher_.readable();
        } catch (const SystemError& error) {
          self->close(unreadable(error.error_number()));
        }
        messages = 0;
        break;
      case Received::no_room: co_await self->custody_->wait(); break;
      case Received::no_memory:
        co_await self->reactor_.sleep_until(self->reactor_.now() + kRetryPause);
        break;
    }
  }
}

Task<void> WorkerLink::receive_rest(std::shared_ptr<WorkerLink> self) {
  self->end_receiving();
  int left = kMostAttempts;
  while (self->open_ && left > 0) {
    const Received received = self->receive_one();
    if (received == Received::nothing) break;
    if (received == Received::no_room) co_await self->custody_->wait();
    if (received == Received::no_memory) {
      --left;
      co_await self->reactor_.sleep_until(self->reactor_.now() + kRetryPause);
    }
  }
  self->end();
}

WorkerLink::Received WorkerLink::receive_one() {
  // Mostly only one that drains returns connections: the others are spared the system call as long
  // as descriptors are plenty.
  const bool may_return = is_full() && (draining_ || !custody_->has_room());
  if (may_return && next_is_return()) return receive_returned();
  ReceiveResult result = recv_fds(channel_.get(), {packet_.get(), channel::kMaxMessage},
                                  is_full() ? channel::kMaxDescriptors : 0);
  if (result.outcome == ReceiveOutcome::would_block) return Received::nothing;
  if (result.outcome == ReceiveOutcome::exhausted) return Received::no_memory;
  take(result);
  return Received::message;
}

/// The message stays in the channel until all its descriptors are here.
WorkerLink::Received WorkerLink::receive_returned() {
  if (!custody_->has_room() && owner_.passes_on()) return Received::no_room;
  ReceiveResult result = recv_fds(channel_.get(), {packet_.get(), channel::kMaxMessage},
                                  channel::kMaxDescriptors, Receive::look);
  if (result.lacks_descriptors && owner_.passes_on()) return Received::no_room;
  if (result.outcome == ReceiveOutcome::exhausted) return Received::no_memory;
  // A reset comes before the message.
  if (result.outcome != ReceiveOutcome::failed && result.outcome != ReceiveOutcome::reset)
    drop_message(channel_.get());
  take(result);
  return Received::message;
}

void WorkerLink::take(ReceiveResult& result) {
  switch (result.outcome) {
    case ReceiveOutcome::would_block:
    case ReceiveOutcome::exhausted: break;
    case ReceiveOutcome::failed: close(unreadable(result.error_number)); break;
    case ReceiveOutcome::reset: break;  // what it had sent before is still to be read
    case ReceiveOutcome::end: close(""); break;
    case ReceiveOutcome::truncated:
      if (!result.lacks_descriptors) return close("it sent too much");
      [[fallthrough]];
    case ReceiveOutcome::received: {
      if (!is_full()) break;  // nothing is expected of it
      auto message = channel::decode({packet_.get(), result.size}, std::move(result.descriptors));
      std::string problem = "it sent no valid message";
      if (message && result.lacks_descriptors && message->type == channel::Type::returned) {
        problem = lose(message->connections.size());
      } else if (message) {
        problem = handle(*message);
      }
      if (!problem.empty()) close(problem);
      break;
    }
  }
}

/// Empty, or what is wrong with that.
std::string WorkerLink::lose(std::size_t count) {
  if (count > held_) return "it returned a connection that it did not have";
  held_ -= count;
  recount();
  owner_.connections_lost(*this, count);
  owner_.worker_has_room(*this);
  return "";
}

/// Looks without taking anything; without room for control data no descriptor comes.
bool WorkerLink::next_is_return() const {
  std::array<char, channel::kHeaderSize> header{};
  return recv(channel_.get(), header.data(), header.size(), MSG_PEEK | MSG_DONTWAIT) ==
             static_cast<ssize_t>(header.size()) &&
         channel::type_of(header) == channel::Type::returned;
}

void WorkerLink::end() {
  open_ = false;
  // From this moment on, not from when our tasks have let it go: what it starts then it would
  // share.
  shutdown(channel_.get(), SHUT_RDWR);
  watcher_.interrupt();
}

/// Empty, or what is wrong with the message.
std::string WorkerLink::handle(channel::Message& message) {
  if (message.type != channel::Type::returned && !message.descriptors.empty()) {
    return "it sent a descriptor with a message that has none";
  }
  if (!greeted_ && message.type != channel::Type::hello) return "its first message was no HELLO";
  switch (message.type) {
    case channel::Type::hello:
      if (message.hello.version != channel::kVersion) {
        return fmt::format("it speaks version {} of the channel, we speak {}",
                           message.hello.version, channel::kVersion);
      }
      if (greeted_) return "it sent a second HELLO";
      greeted_ = true;
      credits_ = message.hello.credits;
      calls_ = message.hello.calls;
      answers_ = message.hello.answers;
      return "";
    case channel::Type::ready: owner_.worker_ready(*this); return "";
    case channel::Type::started: return start(message.ids);
    case channel::Type::finished:
      if (message.ids.size() > held_) return "it finished more connections than it was given";
      held_ -= message.ids.size();
      recount();
      owner_.worker_has_room(*this);
      return "";
    case channel::Type::refused:
    case channel::Type::returned: return take_back(message);
    case channel::Type::leave: owner_.worker_would_leave(*this); return "";
    case channel::Type::requests:
      requests_ = message.requests;
      owner_.requests_told(*this);
      return "";
    case channel::Type::listener: owner_.others_shall_accept(*this); return "";
    case channel::Type::queue: return "";  // we are awake
    default: return "it sent a message that only a master sends";
  }
}

std::string WorkerLink::start(std::span<const std::uint64_t> ids) {
  std::size_t accepted = 0;
  for (const std::uint64_t id : ids) {
    if (accepts_ && (id & channel::kOwnId) != 0) {
      ++passed_;
      ++accepted;
    } else if (!take_unstarted(id)) {
      return "it started a connection that it was not given";
    }
    ++held_;
  }
  recount();
  if (accepted > 0) owner_.worker_accepted(accepted);
  most_per_message_ = std::min(channel::kMaxEntries, 2 * most_per_message_);
  owner_.worker_has_room(*this);
  return "";
}

std::string WorkerLink::take_back(channel::Message& message) {
  for (const std::uint64_t id : message.ids) {  // refused
    std::optional<HeldConnection> held = take_unstarted(id);
    if (!held) return "it refused a connection that it was not given";
    most_per_message_ = 1;
    if (!std::exchange(refusing_, true)) reactor_.spawn(pause_after_refusal(shared_from_this()));
    recount();
    owner_.connection_returned(*this, std::move(*held));
  }
  for (Connection& connection : message.connections) {
    if (held_ == 0) return "it returned a connection that it did not have";
    if (!connection.is_complete()) return "it returned a connection without its descriptor";
    if (!connection.is_sound()) return "it returned something that is no connection";
    --held_;
    recount();
    Custody::Hold hold(*custody_, connection.descriptors(), 0, connection.unread_size());
    owner_.connection_returned(*this, {std::move(connection), std::move(hold)});
  }
  owner_.worker_has_room(*this);  // sends what came back to those who get it
  return "";
}

/// They are mostly started in the order in which they were sent.
std::optional<HeldConnection> WorkerLink::take_unstarted(std::uint64_t id) {
  const auto found =
      std::find_if(unstarted_.begin(), unstarted_.end(),
                   [id](const HeldConnection& sent) { return sent.connection.id == id; });
  if (found == unstarted_.end()) return std::nullopt;
  std::optional<HeldConnection> held = std::move(*found);
  unstarted_.erase(found);
  return held;
}

std::deque<HeldConnection> WorkerLink::take_unstarted() {
  std::deque<HeldConnection> unstarted = std::exchange(unstarted_, {});
  std::move(queue_.begin(), queue_.end(), std::back_inserter(unstarted));
  queue_.clear();
  recount();
  return unstarted;
}

Task<void> WorkerLink::pause_after_refusal(std::shared_ptr<WorkerLink> self) {
  co_await self->reactor_.sleep_until(self->reactor_.now() + kPause);
  self->refusing_ = false;
  if (self->open_) self->owner_.worker_has_room(*self);
}

void WorkerLink::flush() {
  if (!open_) return;
  // Also when the rest of an earlier attempt waits: with too many descriptors in flight there is
  // room for as many as we have just received, and only until another process takes it.
  switch (send_batch()) {
    case Sent::all: break;
    case Sent::closed: end_receiving(); break;
    case Sent::blocked:
      if (std::exchange(sending_, true)) break;
      reactor_.spawn(send_when_writable(shared_from_this()));
      break;
  }
}

Task<void> WorkerLink::send_when_writable(std::shared_ptr<WorkerLink> self) {
  Sent sent = Sent::blocked;
  while (sent == Sent::blocked && self->open_) {
    try {
      co_await self->watcher_.writable();
    } catch (const SystemError&) {
      // Tried again after a pause.
    }
    if (self->open_) sent = self->send_batch();
    if (sent == Sent::blocked) {
      co_await self->reactor_.sleep_until(self->reactor_.now() + kRetryPause);
    }
  }
  self->sending_ = false;
  if (sent == Sent::closed) self->end_receiving();
  if (self->open_) self->owner_.worker_has_room(*self);
}

/// It takes nothing more: what it has sent is still read, to the end that this makes.
void WorkerLink::end_receiving() {
  shutdown(channel_.get(), SHUT_RD);
}

WorkerLink::Sent WorkerLink::send_batch() {
  while (!queue_.empty()) {
    if (const Sent sent = send_works(); sent != Sent::all) return sent;
  }
  return send_messages();
}

/// One message: as many connections as it can carry.
WorkerLink::Sent WorkerLink::send_works() {
  channel::PackedConnections packed(channel::Type::connection);
  SendResult result{};
  std::size_t count = 1;
  if (is_full()) {
    const std::size_t most = std::min(queue_.size(), most_per_message_);
    while (packed.count() < most && packed.add(queue_[packed.count()].connection)) {
    }
    count = packed.count();
    result = send_fds(channel_.get(), packed.bytes(), packed.descriptors());
  } else {
    const int socket = queue_.front().connection.socket.get();
    result = send_fds(channel_.get(), {&kPlainByte, 1}, {&socket, 1});
  }
  if (result.outcome == SendOutcome::would_block) return Sent::blocked;
  if (result.outcome == SendOutcome::closed) return Sent::closed;
  if (result.outcome == SendOutcome::failed) {
    // One of them may be the reason: each is tried by itself.
    most_per_message_ = 1;
    if (count == 1) drop_unsent(result.error_number);
    return Sent::all;
  }
  const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(count);
  if (is_full()) std::move(queue_.begin(), end, std::back_inserter(unstarted_));
  queue_.erase(queue_.begin(), end);
  passed_ += count;
  recount();
  return Sent::all;
}

void WorkerLink::drop_unsent(int error) {
  queue_.pop_front();
  recount();
  owner_.send_failed(*this, 1, error);
}

WorkerLink::Sent WorkerLink::send_messages() {
  while (!messages_.empty()) {
    const Outgoing& next = messages_.front();
    std::array<int, channel::kMaxEntries> descriptors{};
    std::transform(next.descriptors.begin(), next.descriptors.end(), descriptors.begin(),
                   [](const Fd& fd) { return fd.get(); });
    const SendResult result =
        send_fds(channel_.get(), next.message, {descriptors.data(), next.descriptors.size()});
    switch (result.outcome) {
      case SendOutcome::would_block: return Sent::blocked;
      case SendOutcome::failed: owner_.send_failed(*this, 0, result.error_number); [[fallthrough]];
      case SendOutcome::closed: return Sent::closed;
      case SendOutcome::sent: messages_.pop_front(); break;
    }
  }
  // Without messages, the end of what is passed is the word to leave.
  if (draining_ && !is_full()) shutdown(channel_.get(), SHUT_WR);
  return Sent::all;
}

void WorkerLink::ask_for_requests() {
  // One that does not read is not asked again and again.
  if (messages_.size() < kMaxQuestions) send_soon({channel::encode_requests(0)});
}

void WorkerLink::ask_whether_it_answers() {
  if (open_) send_fds(channel_.get(), channel::encode_requests(0), {});
}

bool WorkerLink::has_unread() const {
  char byte = 0;
  return recv(channel_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void WorkerLink::pass_source(channel::Type type, std::vector<Fd> descriptors) {
  accepts_ = type == channel::Type::listener;
  Outgoing passed;
  passed.message =
      is_full() ? channel::encode_passing(type, descriptors.size()) : std::string(1, kPlainByte);
  passed.descriptors = std::move(descriptors);
  // What it has not taken yet is of no use any more.
  std::erase_if(messages_, [](const Outgoing& old) { return !old.descriptors.empty(); });
  send_soon(std::move(passed));
}

void WorkerLink::wake(channel::Type type) {
  if (!is_full() || !open_ || !messages_.empty()) return;
  static const std::string kLook = channel::encode_passing(channel::Type::listener, 0);
  static const std::string kWake = channel::encode_passing(channel::Type::queue, 0);
  if (type == channel::Type::listener) return send_soon({kLook});
  // With no room for it there are messages that it has not read, and it looks when it does.
  const SendResult result = send_fds(channel_.get(), kWake, {});
  if (result.outcome != SendOutcome::failed) return;
  owner_.send_failed(*this, 0, result.error_number);
  end_receiving();
}

void WorkerLink::give_names() {
  send_soon({channel::encode_passing(channel::Type::listener, 0)});
}

void WorkerLink::send_soon(Outgoing message) {
  if (is_full() || !message.descriptors.empty()) messages_.push_back(std::move(message));
  flush();
}

void WorkerLink::drain(channel::Drain how) {
  draining_ = true;
  send_soon({channel::encode_drain(how)});
}

void WorkerLink::close(const std::string& problem) {
  open_ = false;
  // One that has only closed its sending side reads on until this.
  shutdown(channel_.get(), SHUT_WR);
  watcher_.interrupt();
  owner_.worker_closed(*this, problem);
}

}  // namespace handoff

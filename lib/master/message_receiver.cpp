// SPDX-License-Identifier: MIT
#include "master/message_receiver.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "os/error.hpp"

namespace handoff {
namespace {

/// After this many messages of one worker the others have a turn, and new clients.
constexpr int kMessagesPerTurn = 2;

/// The pause before another attempt if there is no memory, and the most attempts of
/// run_to_the_end().
constexpr auto kRetryPause = std::chrono::milliseconds(10);
constexpr int kMostAttempts = 100;

std::string unreadable(int error) {
  return fmt::format("its channel can't be read: {}", error_text(error));
}

}  // namespace

MessageReceiver::MessageReceiver(Reactor& reactor, FdWatcher& watcher, int channel,
                                 Handshake handshake, std::shared_ptr<Custody> custody, Owner owner)
    : reactor_(reactor),
      watcher_(watcher),
      channel_(channel),
      handshake_(handshake),
      custody_(std::move(custody)),
      owner_(std::move(owner)),
      packet_(std::make_unique_for_overwrite<char[]>(channel::kMaxMessage)) {}

// `alive` keeps `self`.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> MessageReceiver::run(MessageReceiver& self,
                                [[maybe_unused]] std::shared_ptr<void> alive) {
  int messages = 0;
  while (self.owner_.is_open()) {
    switch (self.receive_one()) {
      case Outcome::nothing: try { co_await self.watcher_.readable();
        } catch (const SystemError& error) {
          self.owner_.take({Outcome::broken, {}, unreadable(error.error_number())});
        }
        messages = 0;
        break;
      case Outcome::no_room: co_await self.custody_->wait(); break;
      case Outcome::no_memory:
        co_await self.reactor_.sleep_until(self.reactor_.now() + kRetryPause);
        break;
      default:
        if (++messages < kMessagesPerTurn) { break; }
        co_await self.reactor_.yield();
        messages = 0;
        break;
    }
  }
}

// `alive` keeps `self`.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> MessageReceiver::run_to_the_end(MessageReceiver& self,
                                           [[maybe_unused]] std::shared_ptr<void> alive) {
  int attempts = kMostAttempts;
  while (self.owner_.is_open() && attempts > 0) {
    const Outcome outcome = self.receive_one();
    if (outcome == Outcome::nothing) { break; }
    if (outcome == Outcome::no_room) { co_await self.custody_->wait(); }
    if (outcome == Outcome::no_memory) {
      --attempts;
      co_await self.reactor_.sleep_until(self.reactor_.now() + kRetryPause);
    }
  }
}

MessageReceiver::Outcome MessageReceiver::receive_one() {
  Received received = receive(owner_.returns());
  const Outcome outcome = received.outcome;
  switch (outcome) {
    case Outcome::message:
    case Outcome::lost:
    case Outcome::end:
    case Outcome::broken: owner_.take(std::move(received)); break;
    default: break;
  }
  return outcome;
}

MessageReceiver::Received MessageReceiver::receive(Returns returns) {
  const bool is_full = handshake_ == Handshake::full;
  const bool looks = is_full && (returns != Returns::unexpected || !custody_->has_room());
  if (looks && next_is_return()) { return receive_returned(returns); }
  return judge(recv_fds(channel_, {packet_.get(), channel::kMaxMessage},
                        is_full ? channel::kMaxDescriptors : 0));
}

/// The message is first only looked at: it stays in the channel until all its descriptors are here.
MessageReceiver::Received MessageReceiver::receive_returned(Returns returns) {
  const bool waits = returns != Returns::may_be_lost;
  if (waits && !custody_->has_room()) { return {Outcome::no_room}; }
  ReceiveResult result = recv_fds(channel_, {packet_.get(), channel::kMaxMessage},
                                  channel::kMaxDescriptors, Receive::look);
  if (waits && result.lacks_descriptors) { return {Outcome::no_room}; }
  if (result.outcome == ReceiveOutcome::exhausted) { return {Outcome::no_memory}; }
  // A reset is reported before the message, which is still there.
  if (result.outcome != ReceiveOutcome::failed && result.outcome != ReceiveOutcome::reset) {
    drop_message(channel_);
  }
  return judge(std::move(result));
}

MessageReceiver::Received MessageReceiver::judge(ReceiveResult result) const {
  switch (result.outcome) {
    case ReceiveOutcome::would_block: return {Outcome::nothing};
    case ReceiveOutcome::exhausted: return {Outcome::no_memory};
    case ReceiveOutcome::failed: return {Outcome::broken, {}, unreadable(result.error_number)};
    case ReceiveOutcome::reset: return {Outcome::skipped};
    case ReceiveOutcome::end: return {Outcome::end};
    case ReceiveOutcome::truncated:
      if (!result.lacks_descriptors) { return {Outcome::broken, {}, "it sent too much"}; }
      break;
    case ReceiveOutcome::received: break;
  }
  if (handshake_ == Handshake::none) {
    return {Outcome::skipped};  // a worker without a handshake has nothing to say
  }
  auto message = channel::decode({packet_.get(), result.size}, std::move(result.descriptors));
  if (!message) { return {Outcome::broken, {}, "it sent no valid message"}; }
  const bool lost = result.lacks_descriptors && message->type == channel::Type::returned;
  return {lost ? Outcome::lost : Outcome::message, std::move(*message)};
}

/// The look has no room for control data, so no descriptor arrives with it.
bool MessageReceiver::next_is_return() const {
  std::array<char, channel::kHeaderSize> header{};
  return recv(channel_, header.data(), header.size(), MSG_PEEK | MSG_DONTWAIT) ==
             static_cast<ssize_t>(header.size()) &&
         channel::type_of(header) == channel::Type::returned;
}

bool MessageReceiver::has_unread() const {
  char byte = 0;
  return recv(channel_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

}  // namespace handoff

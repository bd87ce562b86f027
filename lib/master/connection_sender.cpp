// SPDX-License-Identifier: MIT
#include "master/connection_sender.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <iterator>
#include <utility>

#include <handoff/pass/fd_passing.hpp>

#include "pass/plain_form.hpp"

namespace handoff {
namespace {

/// The byte that carries listeners when there is no handshake.
constexpr char kPlainByte = 0;

}  // namespace

ConnectionSender::ConnectionSender(int channel, Handshake handshake, Failed failed)
    : channel_(channel), handshake_(handshake), failed_(std::move(failed)) {}

void ConnectionSender::add(HeldConnection held, std::uint64_t id) {
  held.connection.id = id;
  unsent_.push_back(std::move(held));
}

void ConnectionSender::add(std::string message, std::vector<Fd> descriptors) {
  assert(handshake_ == Handshake::full || !descriptors.empty());
  if (handshake_ == Handshake::none) { message.assign(1, kPlainByte); }
  messages_.push_back({std::move(message), std::move(descriptors)});
}

void ConnectionSender::drop_descriptors() {
  std::erase_if(messages_, [](const Outgoing& old) { return !old.descriptors.empty(); });
}

std::optional<HeldConnection> ConnectionSender::take(std::uint64_t id) {
  // Connections are mostly acknowledged in the order in which they were sent, so this search is
  // short.
  const auto found =
      std::find_if(unacknowledged_.begin(), unacknowledged_.end(),
                   [id](const HeldConnection& held) { return held.connection.id == id; });
  if (found == unacknowledged_.end()) { return std::nullopt; }
  std::optional<HeldConnection> held = std::move(*found);
  unacknowledged_.erase(found);
  return held;
}

bool ConnectionSender::is_kept(const Connection& connection) const {
  return kept_ != nullptr && (connection.id & channel::kKeptId) != 0;
}

/// A worker with a ledger says STARTED only if it is asked to; any other one always does.
void ConnectionSender::ask_for_started(Connection& connection) const {
  if (kept_ == nullptr) { return; }
  const bool lacks_descriptors = most_per_message_ < channel::kMaxEntries;
  connection.wants_started |=
      !is_kept(connection) || lacks_descriptors || kept_->has_luggage(connection);
}

/// The numbers of kept connections are void, because the connections are not this worker's any
/// more.
std::deque<HeldConnection> ConnectionSender::number_anew(std::deque<HeldConnection> unsent) const {
  for (HeldConnection& held : unsent) {
    if (is_kept(held.connection)) { kept_->cancel(held.connection.id); }
    held.connection.wants_started = false;
  }
  return unsent;
}

std::deque<HeldConnection> ConnectionSender::take_unsent() {
  return number_anew(std::exchange(unsent_, {}));
}

std::deque<HeldConnection> ConnectionSender::take_all() {
  std::deque<HeldConnection> all = std::exchange(unacknowledged_, {});
  std::deque<HeldConnection> unsent = take_unsent();
  std::move(unsent.begin(), unsent.end(), std::back_inserter(all));
  return all;
}

void ConnectionSender::speed_up() {
  most_per_message_ = std::min(channel::kMaxEntries, 2 * most_per_message_);
}

ConnectionSender::Outcome ConnectionSender::send() {
  while (!unsent_.empty()) {
    if (const Outcome outcome = send_connections(); outcome != Outcome::all_sent) {
      return outcome;
    }
  }
  return send_messages();
}

/// Sends one message with as many connections as it can carry.
ConnectionSender::Outcome ConnectionSender::send_connections() {
  channel::PackedConnections packed(channel::Type::connection);
  SendResult result{};
  std::size_t count = 1;
  if (handshake_ == Handshake::full) {
    const std::size_t most = std::min(unsent_.size(), most_per_message_);
    while (packed.count() < most) {
      Connection& next = unsent_[packed.count()].connection;
      ask_for_started(next);
      if (!packed.add(next)) { break; }
    }
    count = packed.count();
    result = send_fds(channel_, packed.bytes(), packed.descriptors());
  } else {
    const Connection& next = unsent_.front().connection;
    const int socket = next.socket.get();
    result = send_fds(channel_, plain_form::text_of(next), {&socket, 1});
  }
  if (result.outcome == SendOutcome::would_block) { return Outcome::blocked; }
  if (result.outcome == SendOutcome::closed) { return Outcome::closed; }
  if (result.outcome == SendOutcome::failed) {
    // One connection may be the reason, so each is tried by itself.
    slow_down();
    if (count == 1) { drop_first(result.error_number); }
    return Outcome::all_sent;
  }
  const auto end = unsent_.begin() + static_cast<std::ptrdiff_t>(count);
  if (handshake_ == Handshake::full) {
    std::for_each(unsent_.begin(), end, [this](HeldConnection& held) {
      if (is_kept(held.connection)) { return kept_->sent(std::move(held)); }
      unacknowledged_.push_back(std::move(held));
    });
  }
  unsent_.erase(unsent_.begin(), end);
  sent_ += count;
  return Outcome::all_sent;
}

void ConnectionSender::drop_first(int error) {
  if (is_kept(unsent_.front().connection)) { kept_->cancel(unsent_.front().connection.id); }
  unsent_.pop_front();
  failed_(1, error);
}

ConnectionSender::Outcome ConnectionSender::send_messages() {
  while (!messages_.empty()) {
    const Outgoing& next = messages_.front();
    std::array<int, channel::kMaxEntries> descriptors{};
    std::transform(next.descriptors.begin(), next.descriptors.end(), descriptors.begin(),
                   [](const Fd& fd) { return fd.get(); });
    const SendResult result =
        send_fds(channel_, next.bytes, {descriptors.data(), next.descriptors.size()});
    switch (result.outcome) {
      case SendOutcome::would_block: return Outcome::blocked;
      case SendOutcome::failed: failed_(0, result.error_number); return Outcome::closed;
      case SendOutcome::closed: return Outcome::closed;
      case SendOutcome::sent: messages_.pop_front(); break;
    }
  }
  return Outcome::all_sent;
}

}  // namespace handoff

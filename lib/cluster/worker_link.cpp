// SPDX-License-Identifier: MIT
#include "cluster/worker_link.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <vector>

#include "pass/fd_passing.hpp"

namespace handoff {
namespace {

/// The byte that carries a descriptor when there is no handshake.
constexpr char kPlainByte = 0;

}  // namespace

WorkerLink::WorkerLink(Reactor& reactor, Owner& owner, Handshake handshake, int number, Fd channel)
    : reactor_(reactor),
      owner_(owner),
      handshake_(handshake),
      number_(number),
      channel_(std::move(channel)),
      readiness_(reactor, channel_.get()),
      packet_(std::make_unique_for_overwrite<char[]>(channel::kMaxMessage)) {
  if (handshake == Handshake::none) credits_ = std::numeric_limits<std::size_t>::max();
}

Task<void> WorkerLink::receive(std::shared_ptr<WorkerLink> self) {
  while (self->open_) {
    if (!self->receive_one()) co_await self->readiness_.readable();
  }
}

/// False when there is nothing to receive now.
bool WorkerLink::receive_one() {
  const ReceiveResult result = recv_fds(channel_.get(), {packet_.get(), channel::kMaxMessage}, 0);
  switch (result.outcome) {
    case ReceiveOutcome::would_block: return false;
    case ReceiveOutcome::reset: break;  // what it had sent before is still to be read
    case ReceiveOutcome::end: close(""); break;
    case ReceiveOutcome::truncated: close("it sent descriptors, or too much"); break;
    case ReceiveOutcome::received: {
      if (handshake_ == Handshake::none) break;  // nothing is expected of it
      const auto message = channel::decode({packet_.get(), result.size});
      const std::string problem = message ? handle(*message) : "it sent no valid message";
      if (!problem.empty()) close(problem);
      break;
    }
  }
  return true;
}

void WorkerLink::receive_rest() {
  while (open_ && receive_one()) {
  }
  end();
}

void WorkerLink::end() {
  open_ = false;
  readiness_.interrupt();
}

/// Empty, or what is wrong with the message.
std::string WorkerLink::handle(const channel::Message& message) {
  switch (message.type) {
    case channel::Type::hello:
      if (message.hello.version != channel::kVersion) {
        return fmt::format("it speaks version {} of the channel, we speak {}",
                           message.hello.version, channel::kVersion);
      }
      if (greeted_) return "it sent a second HELLO";
      greeted_ = true;
      credits_ = message.hello.credits;
      pid_ = static_cast<pid_t>(message.hello.pid);
      return "";
    case channel::Type::ready:
      if (!greeted_) return "it sent READY before HELLO";
      owner_.worker_ready(*this);
      return "";
    case channel::Type::finished:
      if (message.ids.size() > held_) return "it finished more connections than it was given";
      held_ -= message.ids.size();
      owner_.worker_has_room(*this);
      return "";
    default: return "it sent a message that only a master sends";
  }
}

void WorkerLink::flush() {
  if (sending_ || !open_) return;
  switch (send_batch()) {
    case Sent::all: break;
    case Sent::closed: break;  // receive() reads to the end, and says so
    case Sent::blocked:
      sending_ = true;
      reactor_.spawn(send_when_writable(shared_from_this()));
      break;
  }
}

Task<void> WorkerLink::send_when_writable(std::shared_ptr<WorkerLink> self) {
  Sent sent = Sent::blocked;
  while (sent == Sent::blocked && self->open_) {
    co_await self->readiness_.writable();
    if (self->open_) sent = self->send_batch();
    // ETOOMANYREFS leaves the channel writable, and each attempt makes epoll say so again.
    if (sent == Sent::blocked) {
      co_await self->reactor_.sleep_until(self->reactor_.now() + std::chrono::milliseconds(10));
    }
  }
  self->sending_ = false;
  if (self->open_) self->owner_.worker_has_room(*self);
}

WorkerLink::Sent WorkerLink::send_batch() {
  while (!queue_.empty()) {
    if (const Sent sent = send_one(); sent != Sent::all) return sent;
  }
  return draining_ && !drain_sent_ ? send_drain() : Sent::all;
}

/// One message: as many connections as it can carry.
WorkerLink::Sent WorkerLink::send_one() {
  const std::size_t most = handshake_ == Handshake::none ? 1 : channel::kMaxEntries;
  const std::size_t count = std::min(queue_.size(), most);
  std::array<int, channel::kMaxEntries> descriptors{};
  std::array<channel::Entry, channel::kMaxEntries> entries;
  for (std::size_t i = 0; i < count; ++i) {
    descriptors[i] = queue_[i].connection.get();
    entries[i] = {queue_[i].id, queue_[i].peer, {}};
  }
  const std::string message = handshake_ == Handshake::none
                                  ? std::string(1, kPlainByte)
                                  : channel::encode_connections({entries.data(), count});
  const SendResult result = send_fds(channel_.get(), message, {descriptors.data(), count});
  if (result.outcome == SendOutcome::would_block) return Sent::blocked;
  if (result.outcome == SendOutcome::closed) return Sent::closed;
  if (handshake_ == Handshake::full) held_ += count;
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
  return Sent::all;
}

WorkerLink::Sent WorkerLink::send_drain() {
  if (handshake_ == Handshake::none) {
    shutdown(channel_.get(), SHUT_WR);
  } else {
    const SendResult result = send_fds(channel_.get(), channel::encode_drain(), {});
    if (result.outcome == SendOutcome::would_block) return Sent::blocked;
  }
  drain_sent_ = true;
  return Sent::all;
}

void WorkerLink::drain() {
  draining_ = true;
  flush();
}

void WorkerLink::close(const std::string& problem) {
  open_ = false;
  readiness_.interrupt();
  owner_.worker_closed(*this, problem);
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "cluster/master_link.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "os/error.hpp"
#include "os/socket.hpp"
#include "pass/fd_passing.hpp"
#include "wire/message.hpp"

namespace handoff {
namespace {

/// Ids in one message at most; it stays far below channel::kMaxMessage.
constexpr std::size_t kMaxIds = 1024;

}  // namespace

MasterLink::MasterLink(Reactor& reactor, Owner& owner, Fd channel)
    : reactor_(reactor),
      owner_(owner),
      channel_(std::move(channel)),
      readiness_(reactor, channel_.get()),
      some_to_send_(reactor) {
  const auto type = socket_type(channel_.get());
  if (!type) throw InvalidArgument("channel: the descriptor is not a socket");
  full_ = *type != SOCK_STREAM;
  set_close_on_exec(channel_.get(), true);
}

void MasterLink::start(std::size_t credits) {
  if (!full_) return reactor_.spawn(receive_plain(shared_from_this()));
  channel::Hello hello;
  hello.pid = static_cast<std::uint32_t>(getpid());
  hello.credits = static_cast<std::uint32_t>(credits);
  greeting_ = {channel::encode_hello(hello), channel::encode_ready()};
  some_to_send_.set();
  reactor_.spawn(send_messages(shared_from_this()));
  reactor_.spawn(receive_messages(shared_from_this()));
}

void MasterLink::finished(std::uint64_t id) {
  if (!full_) return;
  finished_.push_back(id);
  some_to_send_.set();
}

void MasterLink::leave() {
  shutdown(channel_.get(), SHUT_WR);
}

void MasterLink::close() {
  closed_ = true;
  readiness_.interrupt();
  some_to_send_.set();
}

Task<void> MasterLink::receive_messages(std::shared_ptr<MasterLink> self) {
  const auto packet = std::make_unique<std::array<char, channel::kMaxMessage>>();
  while (!self->closed_) {
    ReceiveResult result = recv_fds(self->channel_.get(), *packet, channel::kMaxEntries);
    if (result.outcome == ReceiveOutcome::end) break;
    if (result.outcome == ReceiveOutcome::would_block) {
      co_await self->readiness_.readable();
    } else if (result.outcome != ReceiveOutcome::reset) {
      self->handle({packet->data(), result.size}, result.descriptors);
    }
  }
  if (!self->closed_) self->owner_.drain_asked();
}

void MasterLink::handle(std::span<const char> packet, std::vector<Fd>& descriptors) {
  const auto message = channel::decode(packet);
  if (!message) throw ProtocolError("channel: the master sent no valid message");
  switch (message->type) {
    case channel::Type::drain: return owner_.drain_asked();
    case channel::Type::connection:
      for (std::size_t i = 0; i < message->entries.size(); ++i) {
        const channel::Entry& entry = message->entries[i];
        if (i < descriptors.size()) {
          owner_.connection_passed(entry, std::move(descriptors[i]));
        } else {
          owner_.connection_missed();
          finished(entry.id);
        }
      }
      return;
    default: throw ProtocolError("channel: the master sent a message that only a worker sends");
  }
}

Task<void> MasterLink::receive_plain(std::shared_ptr<MasterLink> self) {
  std::array<char, 1> byte;
  while (!self->closed_) {
    ReceiveResult result = recv_fds(self->channel_.get(), byte, 1);
    switch (result.outcome) {
      case ReceiveOutcome::would_block: co_await self->readiness_.readable(); break;
      case ReceiveOutcome::reset: break;
      case ReceiveOutcome::end: self->owner_.drain_asked(); co_return;
      case ReceiveOutcome::truncated: self->owner_.connection_missed(); break;
      case ReceiveOutcome::received:
        for (Fd& connection : result.descriptors) {
          self->owner_.connection_passed({}, std::move(connection));
        }
        break;
    }
  }
}

/// The ids of one turn of the loop in one message.
Task<void> MasterLink::send_messages(std::shared_ptr<MasterLink> self) {
  while (!self->closed_) {
    co_await self->some_to_send_;
    self->some_to_send_.clear();
    for (std::string& message : std::exchange(self->greeting_, {})) {
      co_await self->send(std::move(message));
    }
    while (!self->finished_.empty()) {
      std::vector<std::uint64_t>& ids = self->finished_;
      const std::size_t count = std::min(ids.size(), kMaxIds);
      std::string message = channel::encode_finished({ids.data(), count});
      ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count));
      co_await self->send(std::move(message));
    }
  }
}

Task<void> MasterLink::send(std::string message) {
  while (!closed_ && send_fds(channel_.get(), message, {}).outcome == SendOutcome::would_block) {
    co_await readiness_.writable();
  }
}

}  // namespace handoff

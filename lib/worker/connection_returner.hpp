// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>

#include "pass/channel.hpp"
#include "pass/connection.hpp"
#include "pass/fd_passing.hpp"

namespace handoff {

/// Gives connections back to a master. After a message with descriptors the next goes when the
/// master has read that one. The kernel counts the descriptors in flight of all processes of a
/// user, and lets none of them send while that is more than its own limit. If workers returned all
/// that they have at once, a master with its hands full could neither pass on nor take.
///
/// Never blocks.
class ConnectionReturner {
 public:
  /// What it needs of its channel, and what it tells. They may call add().
  struct Owner {
    std::function<SendResult(const std::string& message, std::span<const int> descriptors)> send;
    /// Whether the master has read everything that was sent.
    std::function<bool()> has_been_read;
    /// A connection has ended instead of being returned: its bytes can't be put into a file.
    std::function<void(const Connection& connection, int error)> not_spilled;
    /// A connection has ended, because it can't be sent.
    std::function<void(const Connection& connection, int error)> not_sent;
  };
  /// `type` is `returned` or `deposit`: the message that connections are sent in.
  ConnectionReturner(channel::Type type, Owner owner) : type_(type), owner_(std::move(owner)) {}

  void add(Connection connection) { waiting_.push_back(std::move(connection)); }
  std::size_t waiting() const { return waiting_.size(); }

  enum class Outcome {
    all_sent,
    blocked,  ///< the channel is full, or there is no descriptor for a memfd
    unread,   ///< until the master has read the message before
  };
  /// Sends until one of these is so.
  Outcome send();

 private:
  channel::PackedConnections pack();
  bool awaits_reader();

  channel::Type type_;
  Owner owner_;
  std::deque<Connection> waiting_;
  std::size_t most_per_message_ = channel::kMaxEntries;
  bool in_flight_ = false;  ///< descriptors were sent that the master may not have read
};

}  // namespace handoff

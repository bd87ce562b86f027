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

/// Gives connections back to a master. After a message with descriptors the next one is sent only
/// when the master has read that one: the kernel counts the descriptors in flight of all processes
/// of a user, and lets none of them send while there are more than its limit (unix(7),
/// ETOOMANYREFS). If workers returned everything at once, a busy master could neither pass on
/// connections nor take them back.
///
/// Never blocks. The connections that wait are closed with the object.
class ConnectionReturner {
 public:
  /// The functions through which it uses its channel and reports. They may call add(). All must be
  /// set.
  struct Owner {
    /// Sends one message now, without blocking.
    std::function<SendResult(const std::string& message, std::span<const int> descriptors)> send;
    /// Returns whether the master has read everything that was sent.
    std::function<bool()> has_been_read;
    /// Called when a connection is closed instead of returned, because its bytes cannot be put into
    /// a file. `error` is an errno.
    std::function<void(const Connection& connection, int error)> not_spilled;
    /// Called when a connection is closed instead of returned, because it cannot be sent. `error`
    /// is an errno.
    std::function<void(const Connection& connection, int error)> not_sent;
  };
  /// Sends connections in messages of `type`, which is `returned` or `deposit`.
  ConnectionReturner(channel::Type type, Owner owner) : type_(type), owner_(std::move(owner)) {}

  /// Takes over a connection that is to be sent by send().
  void add(Connection connection) { waiting_.push_back(std::move(connection)); }
  /// Returns the number of connections that are not yet sent.
  std::size_t waiting() const { return waiting_.size(); }

  /// How an attempt to send everything ended.
  enum class Outcome {
    all_sent,
    blocked,  ///< the channel is full, or there is no descriptor for a memfd
    unread,   ///< the master has not yet read the message before
  };
  /// Sends as many messages as possible, and returns why it has stopped.
  Outcome send();

 private:
  /// Returns the next message.
  channel::PackedConnections pack();
  bool awaits_reader();

  channel::Type type_;
  Owner owner_;
  std::deque<Connection> waiting_;
  std::size_t most_per_message_ = channel::kMaxEntries;
  bool in_flight_ = false;  ///< descriptors were sent that the master may not have read
};

}  // namespace handoff

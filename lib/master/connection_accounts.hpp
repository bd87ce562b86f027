// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "master/connection_sender.hpp"
#include "master/custody.hpp"
#include "master/held_connection.hpp"
#include "master/kept_connections.hpp"
#include "os/status.hpp"
#include "pass/channel.hpp"
#include "pass/connection.hpp"

namespace handoff {

/// Checks what one worker says of its connections against those that it was given.
class ConnectionAccounts {
 public:
  /// The functions that are called with what a message has changed. They may do everything but
  /// destroy the accounts.
  struct Owner {
    /// Called when assigned() may have changed.
    std::function<void()> assigned_changed;
    /// Called when the worker has accepted `count` connections itself.
    std::function<void(std::size_t count)> accepted;
    /// Called with connections that go to other workers: all those of one message, at least one.
    std::function<void(std::vector<HeldConnection> held)> returned;
    /// Called when the worker has returned `count` connections for which there was no descriptor.
    std::function<void(std::size_t count)> lost;
    /// Called with the ids of deposits that are not kept, which the worker has to know.
    std::function<void(std::vector<std::uint64_t> ids)> deposits_refused;
  };
  /// `sent` must outlive this object.
  ConnectionAccounts(ConnectionSender& sent, std::shared_ptr<Custody> custody, Owner owner)
      : sent_(sent), custody_(std::move(custody)), owner_(std::move(owner)) {}

  /// Allows STARTED for connections that the worker has accepted itself, because it has listeners.
  void expect_own() { expects_own_ = true; }
  bool expects_own() const { return expects_own_; }

  /// Called when the master has taken over this many of the connections that the worker had
  /// deposited.
  void deposits_taken(std::size_t count) { acknowledged_ -= std::min(count, acknowledged_); }

  /// Called when the worker has a ledger, and copies of its connections are kept in `kept`, which
  /// must outlive this object.
  void keep_copies(KeptConnections& kept) { kept_ = &kept; }

  /// Handles STARTED, FINISHED, REFUSED, RETURN or DEPOSIT. A failure says which rule of the
  /// protocol the worker has broken; connections that come before that in the message still go to
  /// other workers.
  Status take(channel::Message message);
  /// Handles a RETURN for which there were not enough descriptors: only connections that need none
  /// come back.
  Status lose(channel::Message message);

  /// Returns the number of connections that the worker has taken and not finished, without those of
  /// which a copy is kept.
  std::size_t acknowledged() const { return acknowledged_; }
  /// Returns the number of connections that the worker was given, or has accepted, and has not
  /// finished.
  std::size_t assigned() const {
    return acknowledged_ + sent_.unacknowledged() + sent_.unsent() + kept_count();
  }
  /// Returns the number of connections that the worker was ever sent, or has accepted.
  std::uint64_t total() const { return sent_.sent() + accepted_; }

 private:
  Status started(std::span<const std::uint64_t> ids, std::size_t& accepted);
  Status refused(std::span<const std::uint64_t> ids, std::vector<HeldConnection>& taken);
  Status returned(std::vector<Connection> connections, std::vector<HeldConnection>& taken);
  Status return_one(Connection connection, std::vector<HeldConnection>& taken);
  Status finished(std::span<const std::uint64_t> ids);
  Status deposit(std::vector<Connection> connections);
  std::size_t kept_count() const { return kept_ != nullptr ? kept_->count() : 0; }
  bool is_kept(std::uint64_t id) const { return kept_ != nullptr && (id & channel::kKeptId) != 0; }
  Status take_off(std::size_t count, const char* why);

  ConnectionSender& sent_;
  std::shared_ptr<Custody> custody_;
  Owner owner_;
  KeptConnections* kept_ = nullptr;  ///< null without a ledger
  std::size_t acknowledged_ = 0;
  std::uint64_t accepted_ = 0;
  bool expects_own_ = false;
};

}  // namespace handoff

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

/// What one worker says of its connections, checked against what it was given.
class ConnectionAccounts {
 public:
  /// Is told of what a message has changed. It may do everything but destroy the accounts.
  struct Owner {
    std::function<void()> assigned_changed;
    /// The worker has accepted so many connections itself.
    std::function<void(std::size_t count)> accepted;
    /// Connections go to other workers: all those of a message, at least one.
    std::function<void(std::vector<HeldConnection> held)> returned;
    /// So many were returned that there was no descriptor for.
    std::function<void(std::size_t count)> lost;
    /// These deposits are not kept, and the worker has to know.
    std::function<void(std::vector<std::uint64_t> ids)> deposits_refused;
  };
  /// `sent` must outlive this.
  ConnectionAccounts(ConnectionSender& sent, std::shared_ptr<Custody> custody, Owner owner)
      : sent_(sent), custody_(std::move(custody)), owner_(std::move(owner)) {}

  /// The worker has listeners: it may say STARTED of connections that it has accepted itself.
  void expect_own() { expects_own_ = true; }
  bool expects_own() const { return expects_own_; }

  /// The master has taken back this many of the connections that the worker had deposited.
  void deposits_taken(std::size_t count) { acknowledged_ -= std::min(count, acknowledged_); }

  /// The worker has a ledger, and connections of which copies are kept. It must outlive this.
  void keep_copies(KeptConnections& kept) { kept_ = &kept; }

  /// STARTED, FINISHED, REFUSED, RETURN or DEPOSIT. A failure says which rule of the protocol the
  /// worker has broken; connections of the same message that come before go to other workers all
  /// the same.
  Status take(channel::Message message);
  /// RETURN, when there were not enough descriptors: only those come back that need none.
  Status lose(channel::Message message);

  /// Connections that the worker has taken and not finished, but for those that are kept.
  std::size_t acknowledged() const { return acknowledged_; }
  /// Connections that the worker was given, or has accepted, and has not finished.
  std::size_t assigned() const {
    return acknowledged_ + sent_.unacknowledged() + sent_.unsent() + kept_count();
  }
  /// Connections that the worker was ever sent, or has accepted.
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

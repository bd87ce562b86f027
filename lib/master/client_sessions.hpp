// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <handoff/async/mailbox.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/wire/limits.hpp>

#include "master/balancer.hpp"
#include "master/remote_queue.hpp"
#include "master/request_queue.hpp"
#include "os/descriptor_limit.hpp"
#include "pass/ledger.hpp"
#include "rpc/reactor_thread.hpp"
#include "rpc/server_context.hpp"

namespace handoff {

/// The connections of the clients if the master serves them itself (`--pass queue`): their calls go
/// through a queue to the workers.
class ClientSessions {
 public:
  struct Options {
    SessionLimits limits;
    std::size_t queue_limit = limits::kMaxQueuedRequests;
    std::size_t io_threads = 1;  ///< threads that serve connections; 1: that of the reactor
    std::size_t workers = 0;     ///< workers that are expected
    std::set<std::string, std::less<>> idempotent;
    const CallLog* calls = nullptr;  ///< where calls are logged, if they are; it outlives this
  };

  /// Gives connections for a successor to the balancer. `closed` is called when a connection has
  /// ended or goes to the successor, with the number that the connection had; `failed` is called as
  /// ServerContext::Owner::failed. The reactor and the balancer must outlive this object. Throws
  /// InvalidArgument if the limits of this process leave no room for connections or for the queue.
  ClientSessions(Reactor& reactor, Balancer& balancer, const Options& options,
                 const std::function<void(std::uint64_t id)>& closed,
                 const std::function<void(std::string_view)>& failed);
  ClientSessions(const ClientSessions&) = delete;
  ClientSessions& operator=(const ClientSessions&) = delete;

  /// Throws what the constructor would throw with these options.
  static void check(const Options& options);

  /// Serves a connection that was accepted, or that a predecessor passes. Throws if that is
  /// impossible: ProtocolError if it brings more unread bytes than a connection may, SystemError if
  /// its spilled bytes cannot be read, std::bad_alloc. The connection is closed then and nothing
  /// else has changed; the caller reports that and goes on.
  void open(Connection connection);
  /// Returns whether one more connection can be served.
  bool has_room() const { return open_connections() < most_connections(); }
  /// See ServerContext::be_lame_duck().
  void be_lame_duck();
  /// Ends every connection when its calls are answered, or gives it to the successor.
  void drain(channel::Drain how);

  /// Returns the number of open connections of all threads.
  std::size_t open_connections() const;
  /// Returns whether some connections that go to the successor still have calls that no worker has
  /// got.
  bool needs_workers() const;
  /// Returns the number of connections that were closed because they could not be given to the
  /// successor.
  std::size_t lost() const { return lost_; }
  /// Returns how many connections can be served at a time.
  std::size_t most_connections() const;

  /// Returns the counters of the clients' requests, of all threads.
  ledger::Totals totals() const { return counters_->totals(); }

  /// Returns the queue through which the calls go; valid for as long as this object.
  Queue& queue() { return queue_; }
  const Queue& queue() const { return queue_; }

 private:
  /// Returns how many connections can be served at a time beside `workers` workers, with `limit`
  /// descriptors.
  static std::size_t most_connections(std::size_t limit, std::size_t io_threads,
                                      std::size_t workers);
  static void check_limits(const Options& options);
  /// Gives the balancer a connection for the successor.
  void give_to_successor(Connection connection);

  Reactor& reactor_;
  Balancer& balancer_;
  std::function<void(std::uint64_t)> closed_;
  std::function<void(std::string_view)> failed_;
  std::size_t io_threads_;
  std::size_t expected_workers_;
  std::size_t limit_ = descriptor_limit();
  Queue queue_;
  std::shared_ptr<const ledger::Ledger> counters_;  ///< a ledger without entries
  ServerContext context_;
  std::size_t lost_ = 0;               ///< see lost()
  std::optional<Mailbox> mailbox_;     ///< that of the threads, if there are any
  std::deque<RemoteQueue> remotes_;    ///< the queue, as each thread sees it
  std::deque<ReactorThread> threads_;  ///< the I/O threads, when there are several
};

}  // namespace handoff

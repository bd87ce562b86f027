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

#include "async/mailbox.hpp"
#include "async/reactor.hpp"
#include "master/balancer.hpp"
#include "master/remote_queue.hpp"
#include "master/request_queue.hpp"
#include "os/descriptor_limit.hpp"
#include "pass/ledger.hpp"
#include "rpc/reactor_thread.hpp"
#include "rpc/server_context.hpp"
#include "wire/limits.hpp"

namespace handoff {

/// The connections of the clients, when the master serves them itself (`--pass queue`): their calls
/// go through a queue to the workers.
class ClientSessions {
 public:
  struct Options {
    SessionLimits limits;
    std::size_t queue_limit = limits::kMaxQueuedRequests;
    std::size_t io_threads = 1;  ///< that serve connections; 1: the reactor's own
    std::size_t workers = 0;     ///< that are expected
    std::set<std::string, std::less<>> idempotent;
  };

  /// Connections for the successor go to the balancer, which must outlive this. `closed` is called
  /// when a connection has ended or goes to the successor, with the number that that connection
  /// had; `failed` as ServerContext::Owner::failed. Throws InvalidArgument when there can't be
  /// descriptors enough.
  ClientSessions(Reactor& reactor, Balancer& balancer, const Options& options,
                 const std::function<void(std::uint64_t id)>& closed,
                 const std::function<void(std::string_view)>& failed);
  ClientSessions(const ClientSessions&) = delete;
  ClientSessions& operator=(const ClientSessions&) = delete;

  /// Serves a connection that was accepted, or that a predecessor passes. Throws when it can't be
  /// served: ProtocolError if it brings more unread bytes than a connection may, SystemError if its
  /// spilled bytes can't be read, std::bad_alloc. Then that connection is closed and nothing else
  /// has changed; the caller says so and goes on.
  void open(Connection connection);
  /// Whether one more connection can be served.
  bool has_room() const { return open_connections() < most_connections(); }
  /// Ends every connection once its calls are answered, or gives it to the successor.
  void drain(channel::Drain how);

  std::size_t open_connections() const;
  /// Of the connections that go to the successor, some still have calls that no worker has got.
  bool needs_workers() const;
  /// Connections that were lost because they could not be given to the successor.
  std::size_t lost() const { return lost_; }
  /// Connections that it can serve at a time.
  std::size_t most_connections() const;

  /// What was counted of the clients' requests, on all threads.
  ledger::Totals totals() const { return counters_->totals(); }

  /// Where the calls go. It lives as long as this.
  Queue& queue() { return queue_; }
  const Queue& queue() const { return queue_; }

 private:
  void give_to_successor(Connection connection);

  Reactor& reactor_;
  Balancer& balancer_;
  std::function<void(std::uint64_t)> closed_;
  std::function<void(std::string_view)> failed_;
  std::size_t reserved_;  ///< descriptors that are kept back from clients, but for workers
  std::size_t expected_workers_;
  std::size_t limit_ = descriptor_limit();
  Queue queue_;
  std::shared_ptr<const ledger::Ledger> counters_;  ///< without entries
  ServerContext context_;
  std::size_t lost_ = 0;               ///< connections that could not be given to the successor
  std::optional<Mailbox> mailbox_;     ///< of the threads, if there are any
  std::deque<RemoteQueue> remotes_;    ///< the queue, as each thread sees it
  std::deque<ReactorThread> threads_;  ///< the I/O threads, when there are several
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include <handoff/async/condition.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/async/task.hpp>
#include <handoff/wire/limits.hpp>

#include "async/limited_line.hpp"
#include "master/status.hpp"
#include "os/listener.hpp"
#include "os/log.hpp"
#include "os/peer.hpp"
#include "rpc/acceptor.hpp"
#include "wire/http_reply.hpp"
#include "wire/http_request.hpp"

namespace handoff {

/// What the pages of a StatusEndpoint show.
struct StatusSource {
  /// Returns whether new clients should come here.
  std::function<bool()> is_ready;
  /// Returns a snapshot of the master, for which its workers may be asked first.
  std::function<Task<MasterStatus>()> snapshot;
};

/// The master's status over HTTP, for probes and for Prometheus: /live, /ready, /metrics and
/// /status (rpc-master(1)). Each connection gets one reply to GET or HEAD.
///
/// A client cannot hold it up: a request and its reply have kStatusTimeout each, and a connection
/// beyond kMaxStatusConnections is closed at once.
class StatusEndpoint {
 public:
  /// Serves on `listener`, from open() on. Peers of a Unix socket are judged by `judge`. The
  /// reactor, and what the functions of `source` use, must outlive this object.
  StatusEndpoint(Reactor& reactor, Listener listener, StatusSource source, const Report& report,
                 PeerJudge judge, Duration timeout = limits::kStatusTimeout);
  StatusEndpoint(const StatusEndpoint&) = delete;
  StatusEndpoint& operator=(const StatusEndpoint&) = delete;

  const Listener& listener() const { return acceptor_.listener(); }
  /// Begins to serve; a second call changes nothing. This object must outlive the reactor's tasks.
  void open();
  /// Closes the socket, and so gives up its name; connections that exist get their replies.
  void close() { acceptor_.close(); }
  /// Sets which process removes the name in the end.
  void set_owner(OwnedName::Owner owner) { acceptor_.set_owner(owner); }
  /// Closes the socket, and waits until the connections have ended, up to `patience`.
  Task<void> finish(Duration patience);

 private:
  struct Client;
  /// Where the socket is: a browser can reach a loopback address, by whatever name.
  enum class Place { unix_socket, loopback, network };

  void accept(Connection connection);
  Task<void> serve(std::unique_ptr<Client> client);
  Task<void> answer(Client& client);
  Task<HttpReply> page(std::string_view path);
  static Place place_of(const Listener& listener);
  bool admits(const HttpRequest& request) const;

  Reactor& reactor_;
  StatusSource source_;
  Duration timeout_;
  Condition changed_;
  std::size_t clients_ = 0;
  Place place_;
  LimitedLine report_failed_;
  Acceptor acceptor_;
};

}  // namespace handoff

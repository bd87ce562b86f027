// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>

#include "async/condition.hpp"
#include "async/limited_line.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "async/timer.hpp"
#include "master/status.hpp"
#include "os/listener.hpp"
#include "os/log.hpp"
#include "os/peer.hpp"
#include "os/status.hpp"
#include "rpc/acceptor.hpp"
#include "rpc/server_context.hpp"

namespace handoff {

/// What the control methods act on. The tasks must be awaited while the owner exists.
class ControlOwner {
 public:
  /// Asks the workers for their counters, so that status() is up to date. Waits for the answers
  /// only a moment.
  virtual Task<void> refresh() = 0;
  /// Returns a snapshot of the master.
  virtual MasterStatus status() const = 0;
  /// These do what the control methods of the same names do, and return how that went.
  virtual Task<Status> reload() = 0;
  virtual Task<Status> upgrade() = 0;
  virtual Task<Status> drain(int worker) = 0;
  virtual Status scale(std::size_t workers) = 0;
  /// Stops the master. The task ends when only the calls of the control socket are left to be
  /// answered.
  virtual Task<Status> stop() = 0;

 protected:
  ~ControlOwner() = default;
};

/// The master's own methods on a named socket, in the wire format of its workers: status, workers,
/// reload, upgrade, drain, scale, stop and metrics (rpc-master(1)).
///
/// Silent clients keep no other client out: a connection without a call ends after kIdleTimeout,
/// and at once if there are kMaxConnections and another one arrives.
class Control final : private Timer {
 public:
  static constexpr std::size_t kMaxConnections = 64;
  static constexpr Duration kIdleTimeout = std::chrono::seconds(30);

  /// Serves on `listener`, from open() on. Peers are judged by `judge`. The reactor and `owner`
  /// must outlive this object.
  Control(Reactor& reactor, Listener listener, ControlOwner& owner, Report report, PeerJudge judge);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  const Listener& listener() const { return acceptor_.listener(); }
  /// Begins to serve; a second call changes nothing. This object must outlive the reactor's tasks.
  void open();
  /// Gives up the socket's name, and goes on serving the connections that exist.
  void close() { acceptor_.close(); }
  void set_owner(OwnedName::Owner owner) { acceptor_.set_owner(owner); }
  /// Ends the connections when their calls are answered, and waits for that, up to `patience`.
  Task<void> finish(Duration patience);
  /// Waits until finish() is called.
  Task<void> until_finishing();

 private:
  void make_room();
  ServerContext::Owner served();
  void on_timer() override { make_room(); }
  void serve(Connection connection);

  LimitedLine report_failed_;
  ServerContext context_;
  Condition finishing_;
  Acceptor acceptor_;  ///< accepts one connection more than allowed, which replaces another one
};

}  // namespace handoff

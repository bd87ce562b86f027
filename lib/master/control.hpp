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

/// What the control methods act on.
class ControlOwner {
 public:
  /// Asks the workers for what they count, so that status() is up to date.
  virtual Task<void> refresh() = 0;
  virtual MasterStatus status() const = 0;
  virtual Task<Status> reload() = 0;
  virtual Task<Status> upgrade() = 0;
  virtual Task<Status> drain(int worker) = 0;
  virtual Status scale(std::size_t workers) = 0;
  /// Is over when all that is left to do is to answer the calls of the control socket.
  virtual Task<Status> stop() = 0;

 protected:
  ~ControlOwner() = default;
};

/// The master's own methods, on a named socket, in the same wire format as its workers': status,
/// workers, reload, upgrade, drain, scale, stop and metrics.
///
/// Silent clients keep nobody out: a connection without a call ends after kIdleTimeout, and at once
/// when there are kMaxConnections and another one comes.
class Control final : private Timer {
 public:
  static constexpr std::size_t kMaxConnections = 64;
  static constexpr Duration kIdleTimeout = std::chrono::seconds(30);

  Control(Reactor& reactor, Listener listener, ControlOwner& owner, Report report, PeerJudge judge);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  const Listener& listener() const { return acceptor_.listener(); }
  /// Serves from now on; a second call changes nothing. It must outlive the reactor's tasks.
  void open();
  /// Gives the name up, and serves the connections that there are.
  void close() { acceptor_.close(); }
  void set_owner(OwnedName::Owner owner) { acceptor_.set_owner(owner); }
  /// Ends the connections once their calls are answered, and waits for that.
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
  Acceptor acceptor_;  ///< takes one connection more than there may be: it replaces another
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "async/timer.hpp"
#include "master/request_queue.hpp"
#include "master/supervisor.hpp"
#include "os/listener.hpp"
#include "os/log.hpp"
#include "os/peer.hpp"
#include "rpc/acceptor.hpp"
#include "rpc/server_context.hpp"

namespace handoff {

/// What a master tells of itself.
struct MasterStatus {
  const char* state = "";  ///< starting, ready, reloading, upgrading, stopping
  std::string pass;
  std::string balance;
  std::vector<std::string> listeners;
  Duration age{};
  std::size_t connections = 0;         ///< now, with the workers or on their way
  std::size_t waiting = 0;             ///< for a worker with room
  std::uint64_t accepted = 0;          ///< ever
  std::uint64_t reloads = 0;           ///< that were done
  std::string last_reload;             ///< why the last one was not done, if so
  std::string last_upgrade;            ///< the same
  std::optional<Queue::Counts> queue;  ///< with --pass queue
  std::vector<WorkerStatus> workers;
};

/// What the control methods act on. The tasks give empty text, or why it was not done.
class ControlOwner {
 public:
  virtual Task<void> refresh() = 0;
  virtual MasterStatus status() const = 0;
  virtual Task<std::string> reload() = 0;
  virtual Task<std::string> upgrade() = 0;
  virtual Task<std::string> drain(int worker) = 0;
  virtual std::string scale(std::size_t workers) = 0;
  /// Is over when all that is left to do is to answer the calls of the control socket.
  virtual Task<std::string> stop() = 0;

 protected:
  ~ControlOwner() = default;
};

/// The master's own methods, on a named socket, in the same wire format as its workers': status,
/// workers, reload, upgrade, drain, scale, stop and metrics.
///
/// Silent clients keep nobody out: a connection without a call ends after kIdleTimeout, and at once
/// when there are kMaxConnections and another one comes.
class Control final : private AcceptorOwner, private Timer {
 public:
  static constexpr std::size_t kMaxConnections = 64;
  static constexpr Duration kIdleTimeout = std::chrono::seconds(30);

  Control(Reactor& reactor, Listener listener, ControlOwner& owner, Report report, PeerJudge judge);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  Acceptor& acceptor() { return acceptor_; }
  /// Ends the connections once their calls are answered.
  void drain();
  bool is_draining() const { return service_.draining(); }
  bool is_idle() const { return service_.open == 0; }

 private:
  /// One more than there may be: it takes the place of another.
  bool has_room() const override { return service_.open <= kMaxConnections; }
  void make_room();
  void on_timer() override { make_room(); }
  void accepted(Connection connection) override;

  LimitedLine report_failed_;
  Service service_;
  Acceptor acceptor_;
};

}  // namespace handoff

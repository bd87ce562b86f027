// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "async/stream.hpp"
#include "cluster/acceptor.hpp"
#include "cluster/report.hpp"
#include "os/signals.hpp"
#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "rpc/handlers.hpp"
#include "rpc/service.hpp"
#include "rpc/session.hpp"

namespace handoff {

struct WorkerOptions {
  SessionLimits limits;
  std::size_t credits = 0;  ///< connections held at a time; 0: what the descriptor limit allows
  bool allow_public = false;
  Duration drain_timeout = std::chrono::seconds(30);
};

/// A worker's life: gets connections from its master, from its own listeners or as its stdin and
/// stdout, and serves them until it is told to drain.
class Worker final : private AcceptorOwner {
 public:
  Worker(Reactor& reactor, const SignalMask& signals, const Handlers& handlers,
         const WorkerOptions& options, Report report);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// On the channel that a master gave it. Its type tells which form it has: SOCK_SEQPACKET the
  /// full one, SOCK_STREAM the plain one.
  Task<void> run_on_channel(Fd channel);
  /// Alone, on listeners of its own.
  Task<void> run_alone(const std::vector<Address>& addresses);
  /// One connection on stdin and stdout.
  Task<void> run_on_stdio();

  /// Connections that were cut off because they did not end in time.
  std::size_t cut_off() const { return cut_off_; }

 private:
  Task<void> watch_signals();
  Task<void> receive_messages();
  void handle(std::span<const char> packet, std::vector<Fd>& descriptors);
  Task<void> receive_plain();
  Task<void> report_finished();
  Task<void> send(std::string message);
  void drain();
  Task<void> wait_until_drained();
  Task<void> wait_until_idle();

  struct Relay;
  static Task<void> copy(std::shared_ptr<Relay> relay, Stream& from, Stream& to);
  Task<void> relay_output(std::shared_ptr<Relay> relay);

  bool has_room() const override { return service_.open < options_.credits; }
  void accepted(Fd connection, const SocketAddress&) override {
    Session::open(service_, std::move(connection));
  }

  Reactor& reactor_;
  const SignalMask& signals_;
  WorkerOptions options_;
  Report report_;
  Service service_;
  std::deque<Acceptor> acceptors_;
  Fd channel_;
  std::optional<Readiness> channel_readiness_;
  std::vector<std::uint64_t> finished_;
  Event some_finished_;
  Event changed_;  ///< a connection has ended, or the drain has begun or is over
  TimePoint drained_by_ = kNever;
  std::optional<Alarm> drain_alarm_;
  std::size_t relaying_ = 0;
  std::size_t cut_off_ = 0;
  bool cut_short_ = false;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "async/event.hpp"
#include "async/limited_line.hpp"
#include "async/race.hpp"
#include "async/reactor.hpp"
#include "os/address.hpp"
#include "os/log.hpp"
#include "os/peer.hpp"
#include "os/signals.hpp"
#include "os/status.hpp"
#include "worker/join_master.hpp"
#include "worker/master_channel.hpp"
#include "worker/own_connections.hpp"
#include "worker/queue_consumer.hpp"
#include "worker/serving_threads.hpp"
#include "worker/stdio_relay.hpp"
#include "worker/worker_life.hpp"
#include "worker/worker_listeners.hpp"
#include "worker/worker_options.hpp"

namespace handoff {

/// A worker's life: gets connections from its master, from its own listeners or as its stdin and
/// stdout, and serves them until it is told to drain.
class Worker final {
 public:
  Worker(Reactor& reactor, const SignalMask& signals, const MakeMethods& make_methods,
         const WorkerOptions& options, Report report);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// On the channel that a master gave it. `listeners` come with it, and count when the channel has
  /// no messages: else the master passes them when it is time.
  Task<void> run_on_channel(Fd channel, std::vector<Fd> listeners = {});
  /// On the channel of the running master that has this named socket, and again after that one was
  /// replaced or has died. Throws Unreachable when there is none within `wait`, at first or later,
  /// or it refuses us.
  Task<void> run_joined(Address address, Duration wait);
  /// Alone, on listeners of its own.
  Task<void> run_alone(std::vector<Address> addresses);
  /// One connection on stdin and stdout.
  Task<void> run_on_stdio();

  /// Why it has served nothing: WorkerOptions::ready has failed. Not a failure if that was ended by
  /// a signal.
  const Status& readiness() const { return readiness_; }
  /// Connections that were cut off because they did not end in time.
  std::size_t cut_off() const { return cut_off_; }

 private:
  Task<bool> get_ready();
  Task<JoinMaster::Before> serve_channel(Fd channel, std::vector<Fd> listeners = {});
  void require_full_channel() const;
  ServingThreads::Owner owner_of_threads();
  AcceptorOwner owner_of_acceptors();
  MasterChannel::LifeEvents life_events();
  MasterChannel::TrafficEvents traffic_events();

  // What happens to it.
  void take(WorkerLife::Event event);
  Task<void> watch_signals();
  void handle_signal(int signal);
  void accepted(Connection connection);
  void ended(std::uint64_t id, CloseReason why);
  void give_back(Connection connection);
  void connection_passed(Connection connection);
  void listeners_passed(std::vector<Fd> listeners);
  void listeners_missed();
  void queue_passed(Fd masters, Fd ours);
  void connections_missed(std::size_t count);
  void connection_not_returned(std::size_t unread, int error);
  void return_failed(int error);
  void channel_failed(int error);

  // Its end.
  void drain(WorkerLife::Action how);
  void start_drain_limit();
  Task<void> wait_until_drained();
  Task<void> wait_until_idle();
  bool is_overdue() const;
  bool is_busy() const;
  void begin_anew();

  Reactor& reactor_;
  const SignalMask& signals_;
  WorkerOptions options_;
  Report report_;
  PeerJudge judge_;
  LimitedLine report_lost_;  ///< of connections that could not be taken or given back
  ServingThreads threads_;
  WorkerListeners listeners_;
  OwnConnections own_;                 ///< that we accept beside a master
  std::optional<JoinMaster> joining_;  ///< of a worker that joins
  std::shared_ptr<MasterChannel> link_;
  std::shared_ptr<QueueConsumer> queue_;
  std::shared_ptr<StdioRelay> relay_;
  WorkerLife life_;
  Status readiness_ = Status::ok();
  Cancellation ready_call_;
  Event changed_;  ///< a connection has ended, or the drain has begun or is over
  TimePoint drained_by_ = kNever;
  std::optional<EventTimeout> drain_alarm_;
  std::size_t cut_off_ = 0;
};

}  // namespace handoff

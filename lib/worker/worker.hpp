// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <handoff/async/event.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>

#include "async/limited_line.hpp"
#include "async/race.hpp"
#include "os/log.hpp"
#include "os/peer.hpp"
#include "os/signals.hpp"
#include "os/status.hpp"
#include "rpc/proxy_stage.hpp"
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

/// A worker: it gets connections from its master, from its own listeners or as its stdin and
/// stdout, and serves them until it is told to drain. Call one of the run functions, once.
class Worker final {
 public:
  /// Serves the methods that `make_methods` makes, once for each thread. `signals` end the worker,
  /// and SIGHUP makes the methods again if WorkerOptions::reloads is set. `report` is called with
  /// its log lines. The reactor and `signals` must outlive this object, which must outlive the
  /// reactor's run.
  Worker(Reactor& reactor, const SignalMask& signals, const MakeMethods& make_methods,
         const WorkerOptions& options, Report report);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Serves on the channel that a master has given it. `listeners` come with the channel, and are
  /// used only if that has no messages (the plain form of handoff-wire(7)): otherwise the master
  /// passes them when it is time. Returns when the worker is drained, or the master is gone. Throws
  /// InvalidArgument, ProtocolError or SystemError.
  Task<void> run_on_channel(Fd channel, std::vector<Fd> listeners = {});
  /// Serves on the channel of the running master that has this named socket, and then on that of
  /// each successor. Returns after a signal, when a master has drained it for good or, in the plain
  /// form, when no master follows. Throws what JoinMaster::join() and join_again() throw, with
  /// `wait` as their wait.
  Task<void> run_joined(Address address, Duration wait);
  /// Serves alone, on listeners of its own. Throws what listen_on_all() throws.
  Task<void> run_alone(std::vector<Address> addresses);
  /// Serves one connection on stdin and stdout, and returns when it has ended.
  Task<void> run_on_stdio();

  /// Returns why it has served nothing: WorkerOptions::ready has failed. A signal that ends that
  /// call is no failure.
  const Status& readiness() const { return readiness_; }
  /// Returns how many connections and calls were cut off because they did not end in time.
  std::size_t cut_off() const { return cut_off_; }

 private:
  Task<bool> get_ready();
  Task<JoinMaster::Before> serve_channel(Fd channel, std::vector<Fd> listeners = {});
  void require_full_channel() const;
  ServingThreads::Owner owner_of_threads();
  ProxyStage::Owner owner_of_proxies();
  AcceptorOwner owner_of_acceptors();
  MasterChannel::LifeEvents life_events();
  MasterChannel::TrafficEvents traffic_events();

  // These are called with what happens to the worker.
  void take(WorkerLife::Event event);
  Task<void> watch_signals();
  void handle_signal(int signal);
  void accepted(Connection connection);
  void ended(std::uint64_t id, CloseReason why);
  void give_back(Connection connection);
  void connection_passed(Connection connection);
  void listeners_passed(std::vector<Fd> listeners, std::vector<AddressRange> proxies = {});
  void listeners_missed();
  void queue_passed(Fd masters, Fd ours);
  void connections_missed(std::size_t count);
  void connection_not_returned(std::size_t unread, int error);
  void return_failed(int error);
  void channel_failed(int error);

  // These end it.
  void drain(WorkerLife::Action how);
  Task<void> end_lame_duck();
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
  LimitedLine report_lost_;  ///< reports of connections that could not be received or given back
  ServingThreads threads_;
  ProxyStage proxies_;  ///< where connections that it accepts wait for the header of a proxy
  WorkerListeners listeners_;
  OwnConnections own_;  ///< numbers the connections that the worker accepts beside a master
  std::optional<JoinMaster> joining_;  ///< set in a worker that joins
  std::shared_ptr<MasterChannel> link_;
  std::shared_ptr<QueueConsumer> queue_;
  std::shared_ptr<StdioRelay> relay_;
  WorkerLife life_;
  Status readiness_ = Status::ok();
  Cancellation ready_call_;
  Event changed_;  ///< set when a connection has ended, or the drain has begun or is over
  TimePoint drained_by_ = kNever;
  std::optional<EventTimeout> drain_alarm_;
  std::size_t cut_off_ = 0;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <handoff/async/condition.hpp>
#include <handoff/async/reactor.hpp>

#include "async/limited_line.hpp"
#include "master/alarm_clock.hpp"
#include "master/balancer.hpp"
#include "master/client_listeners.hpp"
#include "master/client_sessions.hpp"
#include "master/control.hpp"
#include "master/custody.hpp"
#include "master/join_endpoint.hpp"
#include "master/lineage.hpp"
#include "master/master_options.hpp"
#include "master/pass_mode.hpp"
#include "master/phases.hpp"
#include "master/pidfile.hpp"
#include "master/predecessor.hpp"
#include "master/server_sockets.hpp"
#include "master/status.hpp"
#include "master/status_endpoint.hpp"
#include "master/supervisor.hpp"
#include "master/upgrade.hpp"
#include "master/worker_spawner.hpp"
#include "os/peer.hpp"
#include "os/service_manager.hpp"
#include "os/signals.hpp"
#include "os/status.hpp"
#include "rpc/proxy_stage.hpp"

namespace handoff {

/// A master: it binds its sockets, starts its workers, accepts when all of them are ready, and
/// passes connections until a signal ends it or another master takes over.
class Master final : private ControlOwner, private Predecessor::Owner {
 public:
  /// Binds every address, or takes over what a predecessor has left in the environment. Throws what
  /// listen_on() throws, and SystemError if the pidfile cannot be written. The reactor and
  /// `signals` must outlive this object.
  Master(Reactor& reactor, const SignalMask& signals, MasterOptions options, Report report);
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;
  ~Master();

  /// Runs until a signal has ended it, or a successor has everything, and the last worker is gone.
  /// Returns what did not end in time. Throws ChildFailed if no worker can start; see
  /// StartFailures. This object must outlive the reactor's run.
  Task<Supervisor::CutOff> run();

  /// Returns, after run(), what this process is from now on, if it stays while another master
  /// serves; otherwise null.
  std::unique_ptr<OriginalProcess> leave() { return lineage_->leave(); }

 private:
  // These begin its life.
  std::unique_ptr<PassMode> make_pass_mode();
  ProxyStage::Owner owner_of_proxies();
  /// Takes over the sockets of the server, from which nothing is accepted yet.
  void take_sockets(ServerSockets sockets);
  void take_private_sockets(ServerSockets& sockets);
  /// Begins as the successor of the master at the other end of this channel.
  void succeed(Fd channel);
  /// Returns how many connections the predecessor may pass at a time.
  std::size_t credits() const;
  /// Starts the workers, and what runs besides them.
  void start();

  // These are called with what happens to it.
  void take(MasterEvent event);
  Task<void> watch_signals();
  void handle_signal(const ReceivedSignal& signal);
  void add_worker();
  void remove_worker();
  /// Stops, or stops at once if it was told to stop before.
  void stop_asked(pid_t sender);
  Task<void> watch_lineage();
  void original_ended();
  /// Called when a worker has become ready or is gone.
  void on_change();
  /// Called when there may be room for another connection.
  void on_room();
  /// Called when a connection has ended that this master serves itself.
  void connection_closed(std::uint64_t id);
  /// Gives the workers a listener that was shut down and listens again.
  void listener_healed(ListenerGuard::Healed healed);
  /// Called when the names of the sockets belong to this master, because the predecessor has given
  /// them up.
  void names_are_ours();
  void connection_passed(Connection connection) override;
  void all_passed() override { balancer_.flush(); }
  void predecessor_drains() override;
  void predecessor_gone(Predecessor::Phase before) override;

  // These are what it does.
  void begin_to_accept();
  /// Serves a connection that it has accepted, or passes it to a worker.
  void accepted(Connection connection);
  /// Returns whether another connection may be accepted.
  bool has_room() const;
  bool serves_clients() const { return sessions_ && !has_handed_over(); }
  /// Has each connection end after its next reply, and stops when the time of this phase is over.
  void be_lame_duck();
  Task<void> end_lame_duck();
  /// Accepts no more clients, after those that wait already.
  void begin_to_stop();
  /// Gives the successor the names of the sockets, and everything that is left.
  void begin_to_hand_over();
  void leave_successor();
  Task<std::size_t> drain();
  Task<void> finish_handing_over();
  /// Returns what did not end in time, in the workers and here.
  Supervisor::CutOff sum_up(std::size_t cut_off_here) const;
  /// Starts a successor with the sockets of this master.
  std::unique_ptr<SuccessorProcess> spawn_successor(Fd channel);
  /// Returns a failure if it can neither reload nor be upgraded now.
  Status refuse_change() const;
  void upgrade_failed();
  /// Writes this process's number into the pidfile again, after the failure of a successor.
  void take_back_pidfile(pid_t successor);
  Task<void> reload_after_upgrade();
  /// Waits for a task whose failure the log has reported.
  static Task<void> ignore(Task<Status> task);
  /// Opens the sockets for workers that join, for the control methods and for the status.
  void open_private_sockets();
  /// Sets which process removes the names of the sockets in the end.
  void set_owner_of_names(OwnedName::Owner owner);
  /// Tells the service manager how many workers there are, if that has changed.
  void tell_manager();
  Task<void> feed_watchdog(Duration interval);
  Task<void> log_status();

  // These tell what it is.
  bool owns_names() const { return !predecessor_ || !predecessor_->owns_names(); }
  /// Returns whether a successor has taken over.
  bool has_handed_over() const { return upgrade_ && upgrade_->has_taken_over(); }
  bool all_masters_stop() const;
  std::size_t connections() const { return supervisor_.open_connections() + own_connections(); }
  /// Returns the number of connections that this master serves itself.
  std::size_t own_connections() const { return sessions_ ? sessions_->open_connections() : 0; }
  /// Returns whether connections that it serves itself still need workers.
  bool needs_workers() const { return sessions_ && sessions_->needs_workers(); }
  MasterState state() const;
  /// Returns whether new clients should come here: the master accepts, goes on, and has a worker.
  bool is_ready() const;
  Task<MasterStatus> snapshot();

  Task<void> refresh() override { return supervisor_.refresh_requests(); }
  MasterStatus status() const override;
  Task<Status> reload() override;
  Task<Status> upgrade() override;
  Task<Status> drain(int worker) override;
  Status scale(std::size_t workers) override;
  Task<Status> stop() override;

  Reactor& reactor_;
  const SignalMask& signals_;
  MasterOptions options_;
  Report report_;
  LimitedLine report_not_taken_;  ///< reports of connections that the old master passes and this
                                  ///< one cannot serve
  PeerJudge judge_;
  ServiceManager manager_;
  std::shared_ptr<Custody> custody_;
  std::optional<Pidfile> pidfile_;
  ProxyStage proxies_;  ///< where connections wait for the header of a proxy
  ClientListeners listeners_;
  Balancer balancer_;
  std::optional<ClientSessions> sessions_;  ///< exists if the master serves the clients itself
  std::function<void()> offer_listeners_;   ///< set if the workers accept: gives them the listeners
  std::unique_ptr<PassMode> mode_;
  ReactorClock clock_;
  WorkerSpawner spawner_;
  Supervisor supervisor_;
  std::optional<JoinEndpoint> join_;
  std::optional<Control> control_;
  std::optional<StatusEndpoint> status_endpoint_;
  std::optional<Lineage> lineage_;
  std::optional<Predecessor> predecessor_;  ///< exists if there ever was one
  std::unique_ptr<Upgrade> upgrade_;  ///< an upgrade under way or done; null after it has failed
  MasterPhases phases_;
  Condition changed_;
  TimePoint started_ = Clock::now();
  std::uint64_t accepted_ = 0;
  std::uint64_t reloads_ = 0;
  Status last_reload_ = Status::ok();
  Status last_upgrade_ = Status::ok();
  std::size_t told_workers_ = 0;  ///< the number of workers that the service manager was told
  std::optional<ExitStatus> start_failure_;  ///< how all workers end, if none can start
};

}  // namespace handoff

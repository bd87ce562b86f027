// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "async/condition.hpp"
#include "async/limited_line.hpp"
#include "async/reactor.hpp"
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
#include "master/supervisor.hpp"
#include "master/upgrade.hpp"
#include "master/worker_spawner.hpp"
#include "os/peer.hpp"
#include "os/service_manager.hpp"
#include "os/signals.hpp"
#include "os/status.hpp"

namespace handoff {

/// The master's life: binds, starts its workers, accepts once all of them are ready, and passes
/// what it accepts until a signal ends it or another master takes over.
class Master final : private ControlOwner, private Predecessor::Owner {
 public:
  /// Binds every address, or takes what a predecessor has left in the environment: throws what
  /// listen_on throws.
  Master(Reactor& reactor, const SignalMask& signals, MasterOptions options, Report report);
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;
  ~Master();

  /// Runs until a signal has ended it, or a successor has everything, and the last worker is gone.
  /// Returns what did not end in time. Throws ChildFailed when no worker can start; see
  /// StartFailures.
  Task<Supervisor::CutOff> run();

  /// After run(): what this process is from now on, if it stays for the master that serves.
  std::unique_ptr<OriginalProcess> leave() { return lineage_->leave(); }

 private:
  // Its beginning.
  std::unique_ptr<PassMode> make_pass_mode();
  void take_sockets(ServerSockets sockets);
  void succeed(Fd channel);
  std::size_t credits() const;
  void start();

  // What happens to it.
  void take(MasterEvent event);
  Task<void> watch_signals();
  void handle_signal(const ReceivedSignal& signal);
  void add_worker();
  void remove_worker();
  void stop_asked(pid_t sender);
  Task<void> watch_lineage();
  void original_ended();
  void on_change();
  void on_room();
  void connection_closed(std::uint64_t id);
  void listener_healed(ListenerGuard::Healed healed);
  void names_are_ours();
  void connection_passed(Connection connection) override;
  void all_passed() override { balancer_.flush(); }
  void predecessor_drains() override;
  void predecessor_gone(Predecessor::Phase before) override;

  // What it does.
  void begin_to_accept();
  void accepted(Connection connection);
  bool has_room() const;
  bool serves_clients() const { return sessions_ && !has_handed_over(); }
  void begin_to_stop();
  void begin_to_hand_over();
  void leave_successor();
  Task<std::size_t> drain();
  Task<void> finish_handing_over();
  Supervisor::CutOff sum_up(std::size_t cut_off_here) const;
  std::unique_ptr<SuccessorProcess> spawn_successor(Fd channel);
  Status refuse_change() const;
  void upgrade_failed();
  void take_back_pidfile(pid_t successor);
  Task<void> reload_after_upgrade();
  static Task<void> ignore(Task<Status> task);
  void open_private_sockets();
  void set_owner_of_names(OwnedName::Owner owner);
  void tell_manager();
  Task<void> feed_watchdog(Duration interval);
  Task<void> log_status();

  // What it is.
  bool owns_names() const { return !predecessor_ || !predecessor_->owns_names(); }
  bool has_handed_over() const { return upgrade_ && upgrade_->has_taken_over(); }
  bool all_masters_stop() const;
  std::size_t connections() const { return supervisor_.open_connections() + own_connections(); }
  std::size_t own_connections() const { return sessions_ ? sessions_->open_connections() : 0; }
  bool needs_workers() const { return sessions_ && sessions_->needs_workers(); }
  MasterState state() const;

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
  LimitedLine report_not_taken_;  ///< of connections that the old master passes
  PeerJudge judge_;
  ServiceManager manager_;
  std::shared_ptr<Custody> custody_;
  std::optional<Pidfile> pidfile_;
  ClientListeners listeners_;
  Balancer balancer_;
  std::optional<ClientSessions> sessions_;  ///< if the master serves the clients itself
  std::function<void()> offer_listeners_;   ///< if the workers accept: gives them the listeners
  std::unique_ptr<PassMode> mode_;
  ReactorClock clock_;
  WorkerSpawner spawner_;
  Supervisor supervisor_;
  std::optional<JoinEndpoint> join_;
  std::optional<Control> control_;
  std::optional<Lineage> lineage_;
  std::optional<Predecessor> predecessor_;  ///< if there ever was one
  std::unique_ptr<Upgrade> upgrade_;        ///< under way or done; none once it has failed
  MasterPhases phases_;
  Condition changed_;
  TimePoint started_ = Clock::now();
  std::uint64_t accepted_ = 0;
  std::uint64_t reloads_ = 0;
  Status last_reload_ = Status::ok();
  Status last_upgrade_ = Status::ok();
  std::size_t told_workers_ = 0;             ///< to the service manager
  std::optional<ExitStatus> start_failure_;  ///< how all workers end, if none can start
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/condition.hpp"
#include "async/limited_line.hpp"
#include "async/reactor.hpp"
#include "master/alarm_clock.hpp"
#include "master/control.hpp"
#include "master/custody.hpp"
#include "master/lineage.hpp"
#include "master/pass_connection.hpp"
#include "master/pass_listener.hpp"
#include "master/pass_mode.hpp"
#include "master/pass_queue.hpp"
#include "master/pidfile.hpp"
#include "master/supervisor.hpp"
#include "master/upgrade.hpp"
#include "master/worker_spawner.hpp"
#include "os/listener.hpp"
#include "os/peer.hpp"
#include "os/service_manager.hpp"
#include "os/signals.hpp"
#include "rpc/acceptor.hpp"
#include "worker/master_channel.hpp"

namespace handoff {

/// What a worker is given.
enum class Pass {
  connection,  ///< one accepted socket after another
  listener,    ///< the listening sockets, once
  queue,       ///< memory with requests and replies, once
};

struct MasterOptions {
  Pass pass = Pass::connection;
  std::vector<Address> listen;
  bool allow_public = false;
  int workers = 1;
  Balance balance = Balance::round_robin;
  std::size_t max_connections = 0;  ///< 0: no limit
  std::string pidfile;              ///< empty: none
  std::optional<Address> join;      ///< the named socket where workers join
  std::optional<Address> control;   ///< that of the control methods
  std::vector<uid_t> allowed_uids;  ///< besides this process's and root, where users are judged
  SupervisorOptions supervisor;
  PassQueue::Options queue;
  SuccessorCommand successor;  ///< for an upgrade
};

/// The master's life: binds, starts its workers, accepts once all of them are ready, and passes
/// what it accepts until a signal ends it or another master takes over.
class Master final : private AcceptorOwner, private ControlOwner, private MasterChannel::Owner {
 public:
  /// Binds every address, or takes what a predecessor has left in the environment: throws what
  /// listen_on throws.
  Master(Reactor& reactor, const SignalMask& signals, MasterOptions options, Report report);
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;
  ~Master();

  /// Until a signal has ended it and the last worker is gone. Gives what did not end in time.
  /// Throws ChildFailed when no worker can start; see StartFailures.
  Task<Supervisor::CutOff> run();

  /// After run(): what this process is from now on, if it stays for the master that serves.
  std::unique_ptr<OriginalProcess> leave() { return lineage_->leave(); }

 private:
  /// Where workers join.
  class Door final : private AcceptorOwner {
   public:
    Door(Master& master, Listener listener);
    Acceptor& acceptor() { return acceptor_; }

   private:
    bool has_room() const override { return true; }
    void accepted(Connection connection) override;

    Master& master_;
    Acceptor acceptor_;
  };

  /// The master before this one. As long as it serves, the names of the sockets are its own.
  enum class Predecessor {
    none,      ///< there never was one
    serves,    ///< this master starts
    promised,  ///< it still serves, was told READY, and answers that the names are ours, or ends
    drains,    ///< it has handed over, and still passes connections
    gone,      ///< it has ended, after it handed over or before
  };

  std::unique_ptr<Dispatcher> make_dispatcher();
  void check_listeners() const;
  void open_sockets();
  void inherit(Inheritance inheritance);
  Task<void> watch_signals();
  Task<void> feed_watchdog(Duration interval);
  Task<void> tell_status();
  Task<void> retire_workers(channel::Drain how);
  static Task<void> ignore(Task<std::string> task);
  Task<void> wait_for_control();
  Task<void> watch_lineage();
  void handle_signal(const ReceivedSignal& signal);
  void stop_asked(pid_t sender);
  void stop_at_once();
  void original_ended();
  void end_if_no_worker_can_start();
  void begin_to_accept();
  void guard_listeners();
  std::vector<int> listener_numbers() const;
  void listener_healed(bool same_socket);
  void begin_to_stop();
  void hand_over();
  void on_change();
  void on_room();
  void connection_closed(std::uint64_t id);
  std::size_t credits() const;
  bool all_masters_stop() const;
  bool is_over() const;
  std::size_t connections() const;
  void set_owner_of_names(OwnedName::Owner owner);
  void predecessor_is(Predecessor predecessor);
  bool owns_names() const;
  void take_back_pidfile(pid_t successor);
  void open_doors();
  void tell_manager();

  bool has_room() const override;
  void accepted(Connection connection) override;
  void burst_ended() override { dispatcher_->flush(); }

  Task<void> refresh() override { return supervisor_.refresh_requests(); }
  MasterStatus status() const override;
  Task<std::string> reload() override;
  Task<std::string> upgrade() override;
  Task<std::string> drain(int worker) override;
  std::string scale(std::size_t workers) override;
  Task<std::string> stop() override;

  // What a predecessor passes.
  void connection_passed(Connection connection) override;
  void all_passed() override { dispatcher_->flush(); }
  void listeners_passed(std::vector<Fd>) override {}
  void listeners_missed() override {}
  void accept_asked() override;
  void queue_passed(Fd, Fd) override {}
  void connections_missed(std::size_t count) override;
  void channel_failed(int error) override;
  void drain_asked(channel::Drain) override {}
  void master_gone() override;
  void all_sent() override {}
  std::uint64_t requests() const override { return 0; }

  Reactor& reactor_;
  const SignalMask& signals_;
  MasterOptions options_;
  Report report_;
  LimitedLine report_not_taken_;  ///< of connections that the old master passes
  PeerJudge judge_;
  ServiceManager manager_;
  std::shared_ptr<Custody> custody_;
  PassListener* pass_listener_ = nullptr;  ///< the dispatcher, if it is that one
  PassQueue* pass_queue_ = nullptr;        ///< the same
  std::unique_ptr<Dispatcher> dispatcher_;
  std::optional<Pidfile> pidfile_;
  std::deque<Acceptor> acceptors_;
  ReactorClock clock_;
  WorkerSpawner spawner_;
  Supervisor supervisor_;
  std::optional<Door> door_;
  std::optional<Control> control_;
  std::optional<Lineage> lineage_;
  Predecessor predecessor_ = Predecessor::none;
  std::shared_ptr<MasterChannel> predecessor_link_;  ///< until it is gone
  std::unique_ptr<Succession> successor_;
  Condition changed_;
  TimePoint started_ = Clock::now();
  std::uint64_t accepted_ = 0;
  std::uint64_t reloads_ = 0;
  std::string last_reload_;
  std::string last_upgrade_;
  std::size_t told_workers_ = 0;  ///< to the service manager
  bool accepting_ = false;
  bool stop_put_off_ = false;  ///< until it is known whose the names are
  bool stopping_ = false;
  bool handed_over_ = false;
  bool retired_ = false;         ///< the workers were told to leave
  bool cut_short_ = false;       ///< by a second signal
  bool reload_put_off_ = false;  ///< until an upgrade has failed
  std::size_t cut_off_ = 0;      ///< connections that we served ourselves
  std::optional<ExitStatus> start_failure_;
};

}  // namespace handoff

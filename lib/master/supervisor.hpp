// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/condition.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/alarm_clock.hpp"
#include "master/balancer.hpp"
#include "master/pass_mode.hpp"
#include "master/reload.hpp"
#include "master/start_failures.hpp"
#include "master/supervised_worker.hpp"
#include "master/worker_roster.hpp"
#include "master/worker_slot.hpp"
#include "master/worker_spawner.hpp"
#include "master/worker_status.hpp"
#include "master/worker_traffic.hpp"
#include "os/child_claim.hpp"
#include "os/log.hpp"
#include "os/status.hpp"

namespace handoff {

/// Keeps a number of workers running: starts them, waits until they are ready, tells the pass mode
/// of them, and starts another when one dies (after a pause that doubles while they keep dying
/// young). A worker is replaced by starting its successor first; once that is ready, the successor
/// gets new connections, and the old worker drains. Workers that join are looked after in the same
/// way, except that the supervisor neither starts nor kills them.
class Supervisor final : private WorkerListener, private Reload::Actions {
 public:
  /// `changed` is called when a worker became ready or is gone, `has_room` when one has room again.
  /// The references must outlive the supervisor.
  Supervisor(Reactor& reactor, AlarmClock& clock, PassMode& mode, Balancer& balancer,
             std::shared_ptr<Custody> custody, SpawnWorker spawn, const SupervisorOptions& options,
             Report report, std::function<void()> changed, std::function<void()> has_room);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Adds one worker. When the first start of any worker can't be executed, the reactor's run
  /// throws SystemError.
  void add();
  /// Drains the worker that was added last. False when there is only one.
  bool retire_one();
  /// Keeps this many workers from now on, at least one.
  void scale(std::size_t count);
  /// A worker has joined, by this channel. See WorkerRoster::adopt.
  void adopt(Fd channel) { roster_.adopt(free_number(), std::move(channel)); }
  /// Replaces all workers, those that joined excepted; if it fails, the old ones serve on. A call
  /// while another is under way is answered by the reload that follows.
  Task<Status> reload() { return reload_.run(); }
  /// Replaces the worker of this number, or drains one that has joined.
  Task<Status> replace(int number);
  /// See KeptConnections.
  void drop_touched_luggage() { roster_.drop_touched_luggage(); }
  /// Drains all of them, for good.
  void retire_all(channel::Drain how);
  /// Kills all of them now.
  void kill_all();

  /// A child that is no worker: its end is not looked after here. 0 for none.
  void exempt_from_reaping(pid_t pid) { exempt_ = ChildClaim(pid); }
  /// To be called at SIGCHLD.
  void children_ended();

  /// How all workers end, if none can be expected to start; see StartFailures.
  std::optional<ExitStatus> cannot_start() const { return start_failures_.hopeless(slots_.size()); }

  bool is_reloading() const { return reload_.is_under_way(); }
  /// Whether all that were added are ready. Nobody waits for those that join.
  bool all_started() const;
  /// Whether no worker is left, and none follows.
  bool is_empty() const { return slots_.empty() && roster_.workers().empty(); }
  /// Workers that are to run, and those that have joined.
  std::size_t size() const;
  /// Connections that workers have accepted themselves, ever.
  std::uint64_t accepted() const { return roster_.traffic().accepted(); }
  /// Connections that the workers hold, as far as that is known.
  std::size_t open_connections() const { return roster_.traffic().open_connections(); }

  /// What did not end by itself when all were drained.
  struct CutOff {
    std::size_t workers = 0;      ///< that were killed
    std::size_t connections = 0;  ///< that were held then, as far as that is known
  };
  CutOff cut_off() const;

  /// In the order of their numbers.
  std::vector<WorkerStatus> status() const;
  /// What the counters of all workers say, and what became of the connections of those that died.
  const WorkerTraffic& traffic() const { return roster_.traffic(); }
  /// Asks the workers for their numbers of requests, and waits for the answers a little while.
  Task<void> refresh_requests() { return roster_.traffic().ask_for_requests(); }
  /// A line for each worker.
  std::vector<std::string> describe() const;

 private:
  using Slot = std::shared_ptr<WorkerSlot>;
  using Worker = std::shared_ptr<SupervisedWorker>;

  Task<void> run_slot(Slot slot);
  void try_start(WorkerSlot& slot);
  Task<void> back_off(WorkerSlot& slot);
  void retire(WorkerSlot& slot);

  Status drain_joined(int number);
  void count_cut_off(const SupervisedWorker& worker);
  Task<Status> replace_in(Slot slot);
  Task<void> recycle(Worker worker);

  bool stopping() const { return roster_.traffic().retirement() != Retirement::none; }
  Slot find_slot(int number) const;
  Slot slot_of(const SupervisedWorker& worker) const;
  std::size_t serving_slots() const;
  int free_number() const;

  void worker_ready(SupervisedWorker& worker) override;
  void worker_asks_to_leave(SupervisedWorker& worker) override;
  void worker_ended(SupervisedWorker& worker) override;

  std::vector<Slot> slots() const override { return slots_; }
  Status start_next(WorkerSlot& slot) override;
  void discard_next(WorkerSlot& slot) override;
  void promote_next(WorkerSlot& slot, LeaveReason why) override;
  void reload_is_over() override { changed_(); }

  Reactor& reactor_;
  AlarmClock& clock_;
  Duration backoff_min_;
  Duration backoff_max_;
  Report report_;
  std::function<void()> changed_;
  WorkerRoster roster_;
  std::vector<Slot> slots_;
  Condition progress_;  ///< of what reload() and replace() wait for
  Reload reload_;
  StartFailures start_failures_;
  CutOff cut_off_;
  ChildClaim exempt_;
};

}  // namespace handoff

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

#include <handoff/async/condition.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>

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
/// of them, and starts another one when one dies (after a pause that doubles while they keep dying
/// young). A worker is replaced by starting its successor first; when that is ready, the successor
/// gets new connections, and the old worker drains. Workers that join are supervised in the same
/// way, except that the supervisor neither starts nor kills them.
class Supervisor final : private WorkerListener, private Reload::Actions {
 public:
  /// Calls `changed` when a worker has become ready or is gone, and `has_room` when one has room
  /// again. All references must outlive this object.
  Supervisor(Reactor& reactor, AlarmClock& clock, PassMode& mode, Balancer& balancer,
             std::shared_ptr<Custody> custody, SpawnWorker spawn, const SupervisorOptions& options,
             Report report, std::function<void()> changed, std::function<void()> has_room);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Adds one worker. If the very first start of a worker cannot be executed, the reactor's run
  /// throws SystemError.
  void add();
  /// Drains the worker that was added last. Returns false if there is only one.
  bool retire_one();
  /// Keeps this many workers from now on, at least one.
  void scale(std::size_t count);
  /// Takes in a worker that has joined by this channel. See WorkerRoster::adopt.
  void adopt(Fd channel) { roster_.adopt(free_number(), std::move(channel)); }
  /// Replaces all workers except those that have joined; if that fails, the old ones go on serving.
  /// A call while another one is under way is answered by the reload that follows. This object must
  /// outlive the task.
  Task<Status> reload() { return reload_.run(); }
  /// Replaces the worker of this number, or drains one that has joined. This object must outlive
  /// the task.
  Task<Status> replace(int number);
  /// See KeptConnections.
  void drop_touched_luggage() { roster_.drop_touched_luggage(); }
  /// Has every worker that is ready, or becomes so, end each connection after its next reply, as
  /// far as the worker knows how.
  void be_lame_duck();
  /// Drains all workers, for good.
  void retire_all(channel::Drain how);
  /// Kills all workers now.
  void kill_all();

  /// Leaves the end of a child to another owner, because it is no worker. 0 for none.
  void exempt_from_reaping(pid_t pid) { exempt_ = ChildClaim(pid); }
  /// Call this at SIGCHLD.
  void children_ended();

  /// Returns how all workers end if none can be expected to start; see StartFailures.
  std::optional<ExitStatus> cannot_start() const { return start_failures_.hopeless(slots_.size()); }

  /// Returns whether a reload is under way.
  bool is_reloading() const { return reload_.is_under_way(); }
  /// Returns whether all workers that were added are ready. Workers that join are not waited for.
  bool all_started() const;
  /// Returns whether no worker is left, and none follows.
  bool is_empty() const { return slots_.empty() && roster_.workers().empty(); }
  /// Returns the number of workers that are to run, and of those that have joined.
  std::size_t size() const;
  /// Returns the number of connections that workers have ever accepted themselves.
  std::uint64_t accepted() const { return roster_.traffic().accepted(); }
  /// Returns the number of connections that the workers have, as far as that is known.
  std::size_t open_connections() const { return roster_.traffic().open_connections(); }

  /// What did not end by itself when all workers were drained.
  struct CutOff {
    std::size_t workers = 0;      ///< workers that were killed
    std::size_t connections = 0;  ///< connections that they had then, as far as that is known
  };
  CutOff cut_off() const;

  /// Returns a snapshot of each worker, in the order of their numbers.
  std::vector<WorkerStatus> status() const;
  /// Returns the counters of all workers, and what became of the connections of those that have
  /// died.
  const WorkerTraffic& traffic() const { return roster_.traffic(); }
  /// Asks the workers for their numbers of requests, and waits for the answers a short time.
  Task<void> refresh_requests() { return roster_.traffic().ask_for_requests(); }
  /// Returns a line for each worker.
  std::vector<std::string> describe() const;

 private:
  using Slot = std::shared_ptr<WorkerSlot>;
  using Worker = std::shared_ptr<SupervisedWorker>;

  /// Keeps a worker in the slot until it is retired, and removes the slot then.
  Task<void> run_slot(Slot slot);
  /// Starts a worker in the empty slot.
  void try_start(WorkerSlot& slot);
  /// Waits for as long as the slot stays empty. The slot must outlive the task.
  Task<void> back_off(WorkerSlot& slot);
  /// Retires the slot, and drains its worker.
  void retire(WorkerSlot& slot);

  Status drain_joined(int number);
  /// Counts what did not end by itself of a worker that has ended.
  void count_cut_off(const SupervisedWorker& worker);
  /// Replaces the worker of the slot by a successor, and returns how that went.
  Task<Status> replace_in(Slot slot);
  /// Replaces a worker that has asked to leave, with as many attempts as it takes.
  Task<void> recycle(Worker worker);

  /// Returns whether all workers were told to leave.
  bool stopping() const { return roster_.traffic().retirement() != Retirement::none; }
  Slot find_slot(int number) const;
  Slot slot_of(const SupervisedWorker& worker) const;
  /// Returns how many slots are not retired.
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
  Condition progress_;  ///< notified of what reload() and replace() wait for
  Reload reload_;
  StartFailures start_failures_;
  CutOff cut_off_;
  ChildClaim exempt_;
  bool is_lame_duck_ = false;  ///< be_lame_duck() was called
};

}  // namespace handoff

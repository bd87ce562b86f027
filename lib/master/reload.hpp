// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "async/condition.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/worker_slot.hpp"
#include "os/log.hpp"
#include "os/status.hpp"

namespace handoff {

/// The phase of a reload; the table of transitions is at Reload::enter.
enum class ReloadPhase {
  idle,
  starting_successors,  ///< one for the worker in each slot
  waiting_for_ready,    ///< until all successors are ready, or one is gone
  stopped,              ///< for good, because all workers leave
};

/// Replaces the workers of all slots together: it starts a successor for each, waits until all of
/// them are ready, and lets them take over. If one fails, all are discarded, and the old workers go
/// on serving. Reloads that are asked for while one is under way become one more reload after it.
class Reload {
 public:
  using Slot = std::shared_ptr<WorkerSlot>;

  /// The functions through which a reload acts on the workers.
  class Actions {
   public:
    /// Returns all slots.
    virtual std::vector<Slot> slots() const = 0;
    /// Starts a worker and makes it the slot's next one. A failure says why the program cannot be
    /// executed.
    virtual Status start_next(WorkerSlot& slot) = 0;
    /// Kills the slot's next worker.
    virtual void discard_next(WorkerSlot& slot) = 0;
    /// Lets the slot's next worker serve, and tells the current one to leave.
    virtual void promote_next(WorkerSlot& slot, LeaveReason why) = 0;
    /// Called when a reload is over, and none follows.
    virtual void reload_is_over() = 0;

   protected:
    ~Actions() = default;
  };

  /// `progress` is notified when a worker has become ready or is gone, or a slot was retired. All
  /// references must outlive this object.
  Reload(Reactor& reactor, Condition& progress, Actions& actions, Report report);
  Reload(const Reload&) = delete;
  Reload& operator=(const Reload&) = delete;

  /// Asks for a reload, and waits for one that begins after this call. Returns how it went. This
  /// object must outlive the task.
  Task<Status> run();
  /// Ends the reload under way with a failure, and prevents further ones, because all workers
  /// leave.
  void stop();

  ReloadPhase phase() const { return phase_; }
  bool is_under_way() const {
    return phase_ == ReloadPhase::starting_successors || phase_ == ReloadPhase::waiting_for_ready;
  }
  /// Returns how the last reload went.
  const Status& outcome() const { return outcome_; }

 private:
  /// A slot, and the worker that takes over in it. Both are shared, so that they exist while the
  /// reload waits.
  struct Successor {
    Slot slot;
    std::shared_ptr<SupervisedWorker> worker;
  };

  void enter(ReloadPhase next);
  /// Runs one reload after the other until none is wanted.
  Task<void> run_all();
  Task<Status> run_once();
  Status start_successors();
  std::optional<Status> look() const;
  /// Lets all successors take over.
  void switch_over();
  /// Discards all successors.
  void discard();

  Reactor& reactor_;
  Condition& progress_;
  Actions& actions_;
  Report report_;
  ReloadPhase phase_ = ReloadPhase::idle;
  std::vector<Successor> successors_;  ///< those of the reload under way
  std::uint64_t wanted_ = 0;           ///< the reloads that were asked for
  std::uint64_t done_ = 0;             ///< how many of these are over
  Status outcome_ = Status::ok();
};

}  // namespace handoff

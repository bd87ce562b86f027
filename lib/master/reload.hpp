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

/// What a reload does; the table of transitions stands at Reload::enter.
enum class ReloadPhase {
  idle,
  starting_successors,  ///< one for the worker of each slot
  waiting_for_ready,    ///< until all successors are ready, or one is gone
  stopped,              ///< for good: all workers leave
};

/// Replaces the workers of all slots at once: starts a successor for each, waits until all of them
/// are ready, and lets them take over. If one of them fails, all are discarded, and the old workers
/// serve on. Reloads that are asked for while one is under way become one more after it.
class Reload {
 public:
  using Slot = std::shared_ptr<WorkerSlot>;

  /// What a reload does with the workers.
  class Actions {
   public:
    virtual std::vector<Slot> slots() const = 0;
    /// Starts a worker and makes it the slot's next one, or tells why it can't be executed.
    virtual Status start_next(WorkerSlot& slot) = 0;
    /// Kills the slot's next worker.
    virtual void discard_next(WorkerSlot& slot) = 0;
    /// Lets the slot's next worker serve, and tells the current one to leave.
    virtual void promote_next(WorkerSlot& slot, LeaveReason why) = 0;
    /// A reload is over, and none follows.
    virtual void reload_is_over() = 0;

   protected:
    ~Actions() = default;
  };

  /// `progress` is notified when a worker became ready or is gone, or a slot was retired.
  Reload(Reactor& reactor, Condition& progress, Actions& actions, Report report);
  Reload(const Reload&) = delete;
  Reload& operator=(const Reload&) = delete;

  /// Waits for a reload that begins from now on, and tells how it went. The object must outlive the
  /// task.
  Task<Status> run();
  /// All workers leave: a reload under way fails, and none begins any more.
  void stop();

  ReloadPhase phase() const { return phase_; }
  bool is_under_way() const {
    return phase_ == ReloadPhase::starting_successors || phase_ == ReloadPhase::waiting_for_ready;
  }
  /// How the last reload went.
  const Status& outcome() const { return outcome_; }

 private:
  /// A slot, and the worker that is to take over in it. They are kept here, so that they stay what
  /// they are while the reload waits.
  struct Successor {
    Slot slot;
    std::shared_ptr<SupervisedWorker> worker;
  };

  void enter(ReloadPhase next);
  Task<void> run_all();
  Task<Status> run_once();
  Status start_successors();
  std::optional<Status> look() const;
  void switch_over();
  void discard();

  Reactor& reactor_;
  Condition& progress_;
  Actions& actions_;
  Report report_;
  ReloadPhase phase_ = ReloadPhase::idle;
  std::vector<Successor> successors_;  ///< of the reload under way
  std::uint64_t wanted_ = 0;           ///< reloads that were asked for
  std::uint64_t done_ = 0;             ///< of these, those that are over
  Status outcome_ = Status::ok();
};

}  // namespace handoff

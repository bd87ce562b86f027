// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include "async/backoff.hpp"
#include "async/reactor.hpp"
#include "master/supervised_worker.hpp"

namespace handoff {

/// The state of a slot; the table of transitions is at WorkerSlot::enter.
enum class SlotState {
  filled,       ///< it has a worker, a successor, or both
  backing_off,  ///< it is empty until the next worker is started, after a pause or at once
  retired,      ///< it is empty, and no worker follows
};

/// A slot for a worker. The worker in it changes, by its death or by a successor; the slot's number
/// and counters stay. It only keeps account: its supervisor starts and ends the workers.
class WorkerSlot {
 public:
  using Worker = std::shared_ptr<SupervisedWorker>;

  /// The pauses before a worker is started again are from `backoff_min` to `backoff_max` long. The
  /// reactor must outlive this object.
  WorkerSlot(Reactor& reactor, int number, Duration backoff_min, Duration backoff_max);
  WorkerSlot(const WorkerSlot&) = delete;
  WorkerSlot& operator=(const WorkerSlot&) = delete;

  int number() const { return number_; }
  SlotState state() const { return state_; }
  bool is_retired() const { return state_ == SlotState::retired; }
  /// Returns the worker that serves, or starts for the first time; null if there is none.
  const Worker& current() const { return current_; }
  /// Returns the worker that replaces the current one, and that starts or is on standby; null if
  /// there is none.
  const Worker& next() const { return next_; }
  /// Returns whether this worker is in the slot.
  bool has(WorkerId id) const { return is_current(id) || (next_ && next_->id() == id); }
  bool is_current(WorkerId id) const { return current_ && current_->id() == id; }
  /// Returns how many workers were started after the first, except those that replaced another one.
  unsigned restarts() const { return restarts_; }
  /// Returns how the last worker ended; empty if none has.
  const std::string& last_exit() const { return last_exit_; }
  /// Returns the event that every change sets.
  Event& changed() { return changed_; }

  /// Puts a worker into the empty slot.
  void fill(Worker worker);
  /// Puts a worker into the slot that replaces the current one.
  void set_next(Worker worker);
  /// Makes the next worker the current one. Returns the old one: null if there was none.
  Worker promote();
  /// Removes the next worker from the slot, and returns it.
  Worker take_next();
  /// Records that a worker of the slot has ended at `now`. Does nothing for any other worker.
  void worker_ended(const SupervisedWorker& worker, TimePoint now);
  /// Records that the program could not be executed.
  void start_failed();
  /// Retires the slot: no worker follows. Returns the workers, which are not in the slot any more.
  struct Workers {
    Worker current;
    Worker next;
  };
  Workers retire();

  /// Returns how long it stays empty after its last event: zero after a worker that was ready,
  /// unless such a worker has just been restarted at once; otherwise longer each time.
  Duration pause() const { return pause_; }
  /// Counts a restart, when the pause is over.
  void count_restart() { ++restarts_; }

 private:
  /// How a worker is restarted that was ready when it died.
  enum class AfterReady { at_once, after_pause };

  void enter(SlotState next);
  void settle();
  Duration next_pause(const SupervisedWorker& worker, TimePoint now);

  int number_;
  SlotState state_ = SlotState::backing_off;
  Worker current_;
  Worker next_;
  unsigned restarts_ = 0;
  std::string last_exit_;
  Event changed_;
  Duration backoff_max_;
  Backoff backoff_;
  AfterReady after_ready_ = AfterReady::at_once;
  Duration pause_{};
};

}  // namespace handoff

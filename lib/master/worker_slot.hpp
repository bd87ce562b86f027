// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include "async/backoff.hpp"
#include "async/reactor.hpp"
#include "master/supervised_worker.hpp"

namespace handoff {

/// What becomes of one of the slots for workers; the table of transitions stands at
/// WorkerSlot::enter.
enum class SlotState {
  filled,       ///< a worker, its successor, or both are in it
  backing_off,  ///< empty, until the next worker is started, after a pause or at once
  retired,      ///< empty, and nobody follows
};

/// One of the slots for workers. The worker in it changes, by its death or by a successor; its
/// number and counters stay. It only keeps account: its supervisor starts and ends the workers.
class WorkerSlot {
 public:
  using Worker = std::shared_ptr<SupervisedWorker>;

  /// The pauses before a worker is started again are from `backoff_min` to `backoff_max` long.
  WorkerSlot(Reactor& reactor, int number, Duration backoff_min, Duration backoff_max);
  WorkerSlot(const WorkerSlot&) = delete;
  WorkerSlot& operator=(const WorkerSlot&) = delete;

  int number() const { return number_; }
  SlotState state() const { return state_; }
  bool is_retired() const { return state_ == SlotState::retired; }
  /// The worker that serves, or starts for the first time; null if there is none.
  const Worker& current() const { return current_; }
  /// The worker that is to replace it, which starts or is on standby; null if there is none.
  const Worker& next() const { return next_; }
  bool has(WorkerId id) const { return is_current(id) || (next_ && next_->id() == id); }
  bool is_current(WorkerId id) const { return current_ && current_->id() == id; }
  /// Workers that were started after the first, those that replaced another one excepted.
  unsigned restarts() const { return restarts_; }
  /// How the last worker ended; empty if none has.
  const std::string& last_exit() const { return last_exit_; }
  /// Set by every change.
  Event& changed() { return changed_; }

  /// The first worker, or the one after a pause.
  void fill(Worker worker);
  /// A worker that is to replace the current one.
  void set_next(Worker worker);
  /// The next worker takes the place of the current one, which is returned: null if there was none.
  Worker promote();
  /// The next worker, which is in the slot no more.
  Worker take_next();
  /// A worker in it has ended, at this time.
  void worker_ended(const SupervisedWorker& worker, TimePoint now);
  /// Its program could not be executed.
  void start_failed();
  /// Nobody follows; the workers are in the slot no more.
  struct Workers {
    Worker current;
    Worker next;
  };
  Workers retire();

  /// How long it stays empty after what happened last. Zero after a worker that was ready, unless
  /// such a one has just been restarted at once; else longer each time.
  Duration pause() const { return pause_; }
  /// The pause is over: a worker is started again.
  void count_restart() { ++restarts_; }

 private:
  /// What a worker that was ready when it died earns.
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

// SPDX-License-Identifier: MIT
#include "master/worker_slot.hpp"

#include <utility>

namespace handoff {

WorkerSlot::WorkerSlot(Reactor& reactor, int number, Duration backoff_min, Duration backoff_max)
    : number_(number),
      changed_(reactor),
      backoff_max_(backoff_max),
      backoff_(backoff_min, backoff_max) {}

// Changes the state; nothing else does. A new slot is backing off, without a pause.
//
//                                filled                         backing_off           retired
//   a worker is put in it        filled                         filled                -
//   the next one is promoted     filled                         -                     -
//   a worker has ended, or the   filled if the other one is     -                     -
//     next one is taken away     left, else backing_off
//   a start has failed           -                              backing_off, longer   -
//   retired                      retired                        retired               -
void WorkerSlot::enter(SlotState next) {
  state_ = next;
  changed_.set();
}

void WorkerSlot::settle() {
  if (is_retired()) { return; }
  enter(current_ || next_ ? SlotState::filled : SlotState::backing_off);
}

void WorkerSlot::fill(Worker worker) {
  if (is_retired()) { return; }
  current_ = std::move(worker);
  settle();
}

void WorkerSlot::set_next(Worker worker) {
  if (is_retired()) { return; }
  next_ = std::move(worker);
  settle();
}

WorkerSlot::Worker WorkerSlot::promote() {
  if (!next_) { return nullptr; }
  Worker old = std::exchange(current_, std::exchange(next_, nullptr));
  settle();
  return old;
}

WorkerSlot::Worker WorkerSlot::take_next() {
  Worker next = std::exchange(next_, nullptr);
  if (!current_) { pause_ = Duration::zero(); }
  settle();
  return next;
}

void WorkerSlot::worker_ended(const SupervisedWorker& worker, TimePoint now) {
  if (!has(worker.id())) { return; }
  last_exit_ = worker.exit_status().text();
  const bool was_last = !current_ || !next_;
  if (was_last) { pause_ = next_pause(worker, now); }
  (is_current(worker.id()) ? current_ : next_) = nullptr;
  settle();
}

void WorkerSlot::start_failed() {
  if (is_retired()) { return; }
  pause_ = backoff_.next();
  settle();
}

WorkerSlot::Workers WorkerSlot::retire() {
  Workers workers{std::exchange(current_, nullptr), std::exchange(next_, nullptr)};
  enter(SlotState::retired);
  return workers;
}

Duration WorkerSlot::next_pause(const SupervisedWorker& worker, TimePoint now) {
  if (!worker.was_ready()) { return backoff_.next(); }
  if (now - worker.started() >= backoff_max_) { after_ready_ = AfterReady::at_once; }
  if (std::exchange(after_ready_, AfterReady::after_pause) == AfterReady::after_pause) {
    return backoff_.next();
  }
  backoff_.reset();
  return Duration::zero();
}

}  // namespace handoff

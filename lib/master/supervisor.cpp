// SPDX-License-Identifier: MIT
#include "master/supervisor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include <handoff/os/error.hpp>

#include "async/backoff.hpp"
#include "os/process_tree.hpp"

namespace handoff {

Supervisor::Supervisor(Reactor& reactor, AlarmClock& clock, PassMode& mode, Balancer& balancer,
                       std::shared_ptr<Custody> custody, SpawnWorker spawn,
                       const SupervisorOptions& options, Report report,
                       std::function<void()> changed, std::function<void()> has_room)
    : reactor_(reactor),
      clock_(clock),
      backoff_min_(options.backoff_min),
      backoff_max_(options.backoff_max),
      report_(std::move(report)),
      changed_(std::move(changed)),
      roster_(reactor, clock, mode, balancer, std::move(custody), std::move(spawn), options,
              report_, static_cast<WorkerListener&>(*this), std::move(has_room)),
      progress_(reactor),
      reload_(reactor, progress_, static_cast<Reload::Actions&>(*this), report_) {}

// Slots. Each has a coroutine that keeps a worker in it.

void Supervisor::add() {
  slots_.push_back(
      std::make_shared<WorkerSlot>(reactor_, free_number(), backoff_min_, backoff_max_));
  reactor_.spawn(run_slot(slots_.back()));
}

bool Supervisor::retire_one() {
  if (serving_slots() < 2) { return false; }
  retire(**std::find_if(slots_.rbegin(), slots_.rend(),
                        [](const Slot& slot) { return !slot->is_retired(); }));
  return true;
}

void Supervisor::scale(std::size_t count) {
  while (serving_slots() < count) { add(); }
  while (serving_slots() > count && retire_one()) {}
}

Task<void> Supervisor::run_slot(Slot slot) {
  while (!slot->is_retired()) {
    if (slot->state() == SlotState::backing_off) { try_start(*slot); }
    while (slot->state() == SlotState::filled) {
      slot->changed().clear();
      co_await slot->changed();
    }
    if (slot->is_retired()) { break; }
    changed_();
    co_await back_off(*slot);
    if (slot->state() == SlotState::backing_off) { slot->count_restart(); }
  }
  start_failures_.slot_removed(slot->number());
  std::erase(slots_, slot);
  changed_();
}

/// A program that cannot be executed is an error of the command line if it never could be, and
/// otherwise a failed start.
void Supervisor::try_start(WorkerSlot& slot) {
  try {
    slot.fill(roster_.spawn(slot.number()));
  } catch (const SystemError& error) {
    if (roster_.spawned() == 0) { throw; }
    report_(Severity::error, fmt::format("worker {}: {}", slot.number(), error.what()));
    slot.start_failed();
  }
}

/// The pause ends early when a reload or an operator changes the slot.
// run_slot shares the slot, and awaits this task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> Supervisor::back_off(WorkerSlot& slot) {
  const Duration length = slot.pause();
  if (length <= Duration::zero()) {
    co_await reactor_.yield();
    co_return;
  }
  report_(Severity::info,
          fmt::format("worker {}: started again in {}", slot.number(), in_words(length)));
  const auto alarm = clock_.call_at(clock_.now() + length, [&slot] { slot.changed().set(); });
  slot.changed().clear();
  co_await slot.changed();
}

void Supervisor::retire(WorkerSlot& slot) {
  const auto [current, next] = slot.retire();
  if (next) { next->kill(LeaveReason::discarded); }
  if (current) { current->drain(LeaveReason::scaled_down); }
  roster_.traffic().number_retired(slot.number());
  progress_.notify_all();
}

void Supervisor::children_ended() {
  reap_orphans();
  roster_.child_ended();
}

// All workers.

void Supervisor::worker_ended(SupervisedWorker& worker) {
  count_cut_off(worker);
  if (worker.was_ready()) { start_failures_.worker_ready(); }
  if (const Slot slot = slot_of(worker)) {
    if (!worker.was_ready() && worker.leave_reason() == LeaveReason::none) {
      start_failures_.ended(slot->number(), worker.exit_status());
    }
    slot->worker_ended(worker, clock_.now());
    if (!slot->current() && slot->next() && slot->next()->is_ready()) {
      promote_next(*slot, LeaveReason::none);
    }
  }
  progress_.notify_all();
  changed_();
}

/// Only what is left of a worker counts that was told to leave when all were.
void Supervisor::count_cut_off(const SupervisedWorker& worker) {
  const LeaveReason why = worker.leave_reason();
  const bool drained = worker.was_told_to_leave() && why != LeaveReason::discarded;
  if (!stopping() || !drained || !worker.was_cut_off()) { return; }
  cut_off_.connections += worker.link()->assigned() + worker.link()->lost();
  if (worker.was_killed() && !worker.has_joined()) { ++cut_off_.workers; }
}

void Supervisor::be_lame_duck() {
  is_lame_duck_ = true;
  for (const Worker& worker : std::vector(roster_.workers())) {
    if (worker->is_ready()) { worker->link()->announce_lame_duck(); }
  }
}

void Supervisor::retire_all(channel::Drain how) {
  roster_.traffic().retire(how.give_back ? Retirement::handing_over : Retirement::closing);
  reload_.stop();
  for (const Slot& slot : slots_) {
    const auto [current, next] = slot->retire();
    if (next) { next->kill(LeaveReason::discarded); }
  }
  const auto why = how.give_back ? LeaveReason::handing_over : LeaveReason::stopping;
  for (const Worker& worker : std::vector(roster_.workers())) { worker->drain(why); }
  progress_.notify_all();
}

void Supervisor::kill_all() {
  retire_all({});
  for (const Worker& worker : std::vector(roster_.workers())) {
    worker->kill(LeaveReason::stopping);
  }
}

void Supervisor::worker_ready(SupervisedWorker& worker) {
  start_failures_.worker_ready();
  if (is_lame_duck_) { worker.link()->announce_lame_duck(); }
  const Slot slot = slot_of(worker);
  if (!slot || slot->is_current(worker.id())) {
    worker.serve();
  } else if (!slot->current()) {
    promote_next(*slot, LeaveReason::none);  // it need not wait for the other workers
  }
  progress_.notify_all();
  changed_();
}

void Supervisor::worker_asks_to_leave(SupervisedWorker& worker) {
  reactor_.spawn(recycle(worker.shared_from_this()));
}

// Replacing.

Task<Status> Supervisor::replace(int number) {
  const Slot slot = find_slot(number);
  Status outcome = Status::ok();
  if (slot) {
    outcome = co_await replace_in(slot);
  } else {
    outcome = drain_joined(number);
  }
  co_return outcome;
}

Status Supervisor::drain_joined(int number) {
  for (const Worker& worker : roster_.workers()) {
    if (worker->id().number != number || !worker->has_joined()) { continue; }
    worker->drain(LeaveReason::asked);
    return Status::ok();
  }
  return Status::failure(fmt::format("there is no worker {}", number));
}

Task<Status> Supervisor::replace_in(Slot slot) {
  Status outcome = Status::failure("it is being replaced already");
  if (slot->next() || reload_.is_under_way()) { co_return outcome; }
  outcome = start_next(*slot);
  if (!outcome.is_ok()) { co_return outcome; }
  const Worker successor = slot->next();
  while (slot->next() == successor && !successor->is_ready()) { co_await progress_.wait(); }
  if (slot->next() == successor) { promote_next(*slot, LeaveReason::asked); }
  if (slot->is_retired() || slot->current() == successor) { co_return outcome; }
  // A reload has started another worker in its place.
  while (reload_.is_under_way()) { co_await progress_.wait(); }
  const bool was_discarded = successor->leave_reason() == LeaveReason::discarded;
  outcome = was_discarded ? reload_.outcome() : successor->failure();
  co_return outcome;
}

/// A worker that has asked to leave serves until it is replaced.
Task<void> Supervisor::recycle(Worker worker) {
  Backoff backoff(backoff_min_, backoff_max_);
  for (Slot slot = slot_of(*worker); slot; slot = slot_of(*worker)) {
    if (slot->next() || reload_.is_under_way()) {
      co_await progress_.wait();
      continue;
    }
    const Status replaced = co_await replace_in(slot);
    if (replaced.is_ok()) { co_return; }
    report_(Severity::error, fmt::format("cannot replace worker {}: {}; trying again",
                                         slot->number(), replaced.why()));
    co_await pause(clock_, reactor_, backoff.next());
  }
}

Status Supervisor::start_next(WorkerSlot& slot) {
  try {
    slot.set_next(roster_.spawn(slot.number()));
    return Status::ok();
  } catch (const SystemError& error) {
    return Status::failure(fmt::format("worker {}: {}", slot.number(), error.what()));
  }
}

void Supervisor::discard_next(WorkerSlot& slot) {
  if (const Worker next = slot.take_next()) { next->kill(LeaveReason::discarded); }
}

void Supervisor::promote_next(WorkerSlot& slot, LeaveReason why) {
  const Worker old = slot.promote();
  slot.current()->serve();
  progress_.notify_all();
  if (old) { old->drain(why); }
  changed_();
}

// What is known.

bool Supervisor::all_started() const {
  return std::all_of(slots_.begin(), slots_.end(), [](const Slot& slot) {
    return slot->current() && slot->current()->is_ready();
  });
}

std::size_t Supervisor::serving_slots() const {
  return static_cast<std::size_t>(std::count_if(
      slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot->is_retired(); }));
}

std::size_t Supervisor::size() const {
  return serving_slots() + roster_.joined();
}

Supervisor::CutOff Supervisor::cut_off() const {
  CutOff cut_off = cut_off_;
  cut_off.connections += roster_.traffic().lost();
  return cut_off;
}

std::vector<WorkerStatus> Supervisor::status() const {
  std::vector<WorkerStatus> all;
  for (const Worker& worker : roster_.workers()) {
    WorkerStatus status;
    status.number = worker->id().number;
    status.pid = worker->pid();
    status.state = worker->state();
    status.joined = worker->has_joined();
    status.connections = worker->link()->assigned();
    status.passed = worker->link()->connections_total();
    status.totals = worker->link()->totals();
    status.age = clock_.now() - worker->started();
    if (const Slot slot = slot_of(*worker)) {
      status.restarts = slot->restarts();
      status.last_exit = slot->last_exit();
    }
    all.push_back(std::move(status));
  }
  for (const Slot& slot : slots_) {
    if (slot->state() != SlotState::backing_off) { continue; }
    WorkerStatus status;
    status.number = slot->number();
    status.state = WorkerState::pausing;
    status.restarts = slot->restarts();
    status.last_exit = slot->last_exit();
    all.push_back(std::move(status));
  }
  std::stable_sort(all.begin(), all.end(), [](const WorkerStatus& one, const WorkerStatus& other) {
    return one.number < other.number;
  });
  return all;
}

std::vector<std::string> Supervisor::describe() const {
  std::vector<std::string> lines;
  for (const WorkerStatus& worker : status()) { lines.push_back(handoff::describe(worker)); }
  return lines;
}

/// A slot that is retired has no worker to replace.
Supervisor::Slot Supervisor::find_slot(int number) const {
  const auto found = std::find_if(slots_.begin(), slots_.end(), [number](const Slot& slot) {
    return slot->number() == number && !slot->is_retired();
  });
  return found == slots_.end() ? nullptr : *found;
}

/// Returns null for a worker that has joined, and for one that leaves.
Supervisor::Slot Supervisor::slot_of(const SupervisedWorker& worker) const {
  const auto found = std::find_if(slots_.begin(), slots_.end(),
                                  [&](const Slot& slot) { return slot->has(worker.id()); });
  return found == slots_.end() ? nullptr : *found;
}

/// Returns the lowest number that no slot and no worker has.
int Supervisor::free_number() const {
  std::set<int> taken;
  for (const Slot& slot : slots_) { taken.insert(slot->number()); }
  for (const Worker& worker : roster_.workers()) { taken.insert(worker->id().number); }
  int number = 1;
  while (taken.contains(number)) { ++number; }
  return number;
}

}  // namespace handoff

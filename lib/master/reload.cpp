// SPDX-License-Identifier: MIT
#include "master/reload.hpp"

#include <fmt/format.h>

#include <utility>

namespace handoff {

Reload::Reload(Reactor& reactor, Condition& progress, Actions& actions, Report report)
    : reactor_(reactor), progress_(progress), actions_(actions), report_(std::move(report)) {}

// Changes the phase; nothing else does. "again": one more reload follows this one.
//
//                            idle                 starting_successors  waiting_for_ready   stopped
//   asked for                starting_successors  again                again               fails
//   all were started         -                    waiting_for_ready    -                   -
//   one can't be executed    -                    fails                -                   -
//   all are ready            -                    -                    switch over, idle   -
//   one is gone              -                    -                    fails               -
//   a slot is retired        -                    -                    it counts no more   -
//   stop                     stopped              stopped              stopped             -
//
// "fails": every successor is discarded, then idle.
void Reload::enter(ReloadPhase next) {
  if (phase_ == ReloadPhase::stopped) { return; }
  phase_ = next;
  progress_.notify_all();
}

Task<Status> Reload::run() {
  const std::uint64_t mine = ++wanted_;
  if (phase_ == ReloadPhase::idle) {
    enter(ReloadPhase::starting_successors);
    reactor_.spawn(run_all());
  }
  while (done_ < mine && phase_ != ReloadPhase::stopped) { co_await progress_.wait(); }
  Status outcome = phase_ == ReloadPhase::stopped ? Status::failure("stopping") : outcome_;
  co_return outcome;
}

void Reload::stop() {
  enter(ReloadPhase::stopped);
  successors_.clear();
}

Task<void> Reload::run_all() {
  while (done_ < wanted_ && phase_ != ReloadPhase::stopped) {
    const std::uint64_t done = wanted_;
    Status outcome = co_await run_once();
    outcome_ = std::move(outcome);
    done_ = done;
    progress_.notify_all();
  }
  enter(ReloadPhase::idle);
  actions_.reload_is_over();
}

Task<Status> Reload::run_once() {
  enter(ReloadPhase::starting_successors);
  report_(Severity::info, "reloading");
  Status status = start_successors();
  enter(ReloadPhase::waiting_for_ready);
  while (status.is_ok() && phase_ != ReloadPhase::stopped) {
    if (const std::optional<Status> outcome = look()) {
      status = *outcome;
      break;
    }
    co_await progress_.wait();
  }
  if (phase_ == ReloadPhase::stopped) {
    status = Status::failure("stopping");
  } else if (status.is_ok()) {
    switch_over();
  } else {
    discard();
    report_(Severity::error,
            fmt::format("cannot reload: {}; the old workers serve on", status.why()));
  }
  co_return status;
}

/// A next worker that was started before, to replace a single one, is discarded: it may have read
/// its program or configuration before that was changed.
Status Reload::start_successors() {
  successors_.clear();
  for (const Slot& slot : actions_.slots()) {
    if (slot->is_retired()) { continue; }
    if (slot->next()) { actions_.discard_next(*slot); }
    Status started = actions_.start_next(*slot);
    if (!started.is_ok()) { return started; }
    successors_.push_back({slot, slot->next()});
  }
  return Status::ok();
}

/// Returns success if all successors are ready, a failure if one will not be, and nothing while
/// that is open. A successor serves already if its slot had no other worker.
std::optional<Status> Reload::look() const {
  bool all_ready = true;
  for (const Successor& successor : successors_) {
    if (successor.slot->is_retired() || successor.slot->current() == successor.worker) { continue; }
    if (successor.slot->next() != successor.worker) { return successor.worker->failure(); }
    all_ready = all_ready && successor.worker->is_ready();
  }
  return all_ready ? std::optional(Status::ok()) : std::nullopt;
}

void Reload::switch_over() {
  const std::size_t count = successors_.size();
  for (const Successor& successor : std::exchange(successors_, {})) {
    if (successor.slot->next() != successor.worker) { continue; }
    actions_.promote_next(*successor.slot, LeaveReason::reload);
  }
  report_(Severity::info, fmt::format("reloaded, {}", counted(count, "worker")));
}

void Reload::discard() {
  for (const Successor& successor : std::exchange(successors_, {})) {
    if (successor.slot->next() == successor.worker) { actions_.discard_next(*successor.slot); }
  }
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "master/supervised_worker.hpp"

#include <fmt/format.h>

#include <utility>

namespace handoff {
namespace {

/// Returns what a worker is told that leaves for this reason.
channel::Drain drain_order(LeaveReason why) {
  channel::Drain order;
  order.give_back = why != LeaveReason::stopping;
  order.join_again = why == LeaveReason::handing_over;
  return order;
}

}  // namespace

SupervisedWorker::SupervisedWorker(const WorkerContext& context, WorkerId id,
                                   std::shared_ptr<WorkerChannel> link,
                                   std::unique_ptr<WorkerProcess> process, LeaveSignal leave_signal)
    : context_(context),
      id_(id),
      link_(std::move(link)),
      process_(std::move(process)),
      leave_signal_(leave_signal),
      started_(context.clock.now()),
      over_(context.reactor),
      process_end_(context.reactor) {
  arm_deadline();
  context_.report(Severity::detail, fmt::format("{}: started", name()));
}

SupervisedWorker::SupervisedWorker(const WorkerContext& context, WorkerId id,
                                   std::shared_ptr<WorkerChannel> link, pid_t peer)
    : context_(context),
      id_(id),
      link_(std::move(link)),
      peer_(peer),
      started_(context.clock.now()),
      over_(context.reactor),
      process_end_(context.reactor) {
  arm_deadline();
}

// Changes the phase; nothing else does. Tells the pass mode, logs it, and arms the deadline of the
// new phase. "-": nothing happens. "joined" is a worker that has joined, which is no process of
// this master: it can be let go, but not killed. (1) A starting worker is sent SIGTERM too.
//
//                      starting      standby        serving        draining           killed ended
//   READY              standby       -              -              -                  -        -
//   serve              -             serving        -              -                  -        -
//   LEAVE              tell (2)      tell           tell           -                  -        -
//     joined           draining      draining       draining       -                  -        -
//   drain              draining (1)  draining       draining       again if stopping  -        -
//   kill               killed        killed         killed         killed             killed   -
//   deadline           killed        killed (3)     killed (3)     killed             -        -
//   protocol broken    killed        killed         killed         killed             -        -
//   channel closed     -             deadline       deadline, (4)  (4)                -        -
//     joined           over          over           over           over               -        -
//   no answer          -             killed         killed         killed             -        -
//   leader ended,
//     and all its tree over          over           over           over               over     -
//     others live      killed        killed         killed         TERM to them       KILL     -
//   process ended,
//     joined           over          over           over           over               over     -
//   child ended,       as when its leader ended, once that has
//   end, when over     ended         ended          ended          ended              ended    -
//
// (2) The listener is told, once. (3) It has a deadline only after its channel was closed: then it
// must end. (4) The pass mode is told that it gets nothing more. "over" is no phase: what the
// worker has sent is received first, and a READY or LEAVE in that has no effect.
void SupervisedWorker::enter(WorkerPhase next, LeaveReason why) {
  const WorkerPhase before = std::exchange(phase_, next);
  if (reason_ == LeaveReason::none) { reason_ = why; }
  arm_deadline();
  // Each case ends with its last call, which may lead to another phase.
  switch (next) {
    case WorkerPhase::starting: return;
    case WorkerPhase::standby:
      context_.report(Severity::detail, fmt::format("{}: ready", name()));
      return context_.listener.worker_ready(*this);
    case WorkerPhase::serving: return context_.mode.worker_joined(*link_);
    case WorkerPhase::draining: return tell_to_leave(before);
    case WorkerPhase::killed:
      kill_reason_ = why;
      context_.mode.worker_left(*link_);
      return has_joined() ? life_is_over() : process_->kill();
    case WorkerPhase::ended: context_.mode.worker_gone(*link_, departure()); return tell_end();
  }
}

/// Only a worker whose process has ended leaves its connections to others. A worker that crashed is
/// followed by another one in its slot.
Departure SupervisedWorker::departure() const {
  if (has_joined()) { return {joined_process_ended_ ? Reach::dead : Reach::on_its_way}; }
  return {Reach::dead, was_told_to_leave() ? Heir::any : Heir::same_number};
}

/// The worker is killed when the deadline passes.
void SupervisedWorker::arm_deadline() {
  Duration limit{};
  if (phase_ == WorkerPhase::starting) {
    limit = context_.ready_timeout;
  } else if (phase_ == WorkerPhase::draining || (is_ready() && !link_->open())) {
    limit = context_.drain_timeout;
  }
  deadline_.reset();
  const TimePoint due = deadline_after(context_.clock.now(), limit);
  if (due == kNever || life_ == Life::over) { return; }
  deadline_ = context_.clock.call_at(due, [this] { deadline_passed(); });
}

void SupervisedWorker::deadline_passed() {
  if (life_ == Life::leaderless && process_->is_empty()) { return life_is_over(); }
  trouble(describe_overdue());
  kill(LeaveReason::overdue);
}

/// Connections that it was not sent go to others, unless all workers close what they have.
void SupervisedWorker::tell_to_leave(WorkerPhase before) {
  const bool needs_signal =
      before == WorkerPhase::starting || leave_signal_ == LeaveSignal::message_and_term;
  if (needs_signal && !has_joined()) { process_->term(); }
  const channel::Drain order = drain_order(reason_);
  if (order.give_back) { context_.mode.worker_left(*link_); }
  link_->drain(order);
}

// Events.

void SupervisedWorker::ready() {
  if (phase_ != WorkerPhase::starting) { return; }
  ready_since_ = context_.clock.now();
  if (life_ != Life::over) { enter(WorkerPhase::standby); }
}

void SupervisedWorker::asks_to_leave() {
  if (is_leaving() || life_ == Life::over) { return; }
  if (has_joined()) { return drain(LeaveReason::asked); }
  if (!std::exchange(has_asked_to_leave_, true)) { context_.listener.worker_asks_to_leave(*this); }
}

/// Without a channel it gets nothing more, and has to end. A worker that accepts for itself and
/// knows no messages may have closed a descriptor that means nothing to it.
void SupervisedWorker::channel_closed() {
  if (phase_ >= WorkerPhase::killed || leave_signal_ == LeaveSignal::message_and_term) { return; }
  context_.mode.worker_left(*link_);
  if (has_joined()) { return life_is_over(); }
  if (is_ready() && deadline_ == nullptr) { arm_deadline(); }
}

void SupervisedWorker::protocol_broken(std::string_view problem) {
  if (phase_ >= WorkerPhase::killed) { return; }
  trouble(fmt::format("{}: {}; {}", name(), problem, has_joined() ? "sent away" : "killed"));
  kill(LeaveReason::protocol_error);
}

void SupervisedWorker::answered() {
  answers_.answered();
}

/// A worker that starts has the ready time-out, and need not answer before.
void SupervisedWorker::quarter_passed(AnswerWatch::Look look) {
  const bool may_answer = is_ready() || phase_ == WorkerPhase::draining;
  if (!may_answer || life_ == Life::over || !link_->open() || !link_->answers()) { return; }
  const AnswerWatch::Verdict verdict = answers_.quarter_passed(look);
  if (verdict != AnswerWatch::Verdict::hangs || link_->has_unread()) {
    if (verdict == AnswerWatch::Verdict::does_not_keep_up) { link_->pass_over(); }
    return link_->ask_whether_it_answers();
  }
  trouble(fmt::format("{}: no answer within {}, {}", name(), in_words(context_.hang_timeout),
                      fate_with_connections()));
  kill(LeaveReason::unresponsive);
}

void SupervisedWorker::leader_ended() {
  if (life_ != Life::running) { return; }
  life_ = Life::leaderless;
  look_at_tree();
}

/// The worker gets nothing more, even if another process has its end of the channel now.
void SupervisedWorker::joined_process_ended() {
  joined_process_ended_ = true;
  process_end_.set();
  if (phase_ == WorkerPhase::ended || life_ == Life::over) { return; }
  context_.mode.worker_left(*link_);
  life_is_over();
}

void SupervisedWorker::child_ended() {
  if (life_ == Life::leaderless) { look_at_tree(); }
}

/// A worker exists as long as any process of its tree. What is left of one that was told to leave
/// has the time that it was given; what another one has left behind is killed at once.
void SupervisedWorker::look_at_tree() {
  if (process_->is_empty()) { return life_is_over(); }
  left_others_ = true;
  if (phase_ == WorkerPhase::draining) { return process_->term(); }
  kill(LeaveReason::left_others);
}

void SupervisedWorker::life_is_over() {
  life_ = Life::over;
  deadline_.reset();
  over_.set();
}

void SupervisedWorker::end() {
  if (phase_ == WorkerPhase::ended) { return; }
  life_is_over();
  if (!has_joined()) { exit_status_ = process_->finish(); }
  enter(WorkerPhase::ended);
}

// Orders.

void SupervisedWorker::serve() {
  if (phase_ == WorkerPhase::standby) { enter(WorkerPhase::serving); }
}

void SupervisedWorker::drain(LeaveReason why) {
  if (!is_leaving()) { return enter(WorkerPhase::draining, why); }
  if (phase_ == WorkerPhase::draining && why == LeaveReason::stopping) {
    link_->drain(drain_order(why));
  }
}

void SupervisedWorker::kill(LeaveReason why) {
  if (phase_ < WorkerPhase::killed) { return enter(WorkerPhase::killed, why); }
  // Processes that were started since are killed too.
  if (phase_ == WorkerPhase::killed && !has_joined()) { process_->kill(); }
}

// What is known.

std::string SupervisedWorker::name() const {
  if (pid() <= 0) { return fmt::format("worker {}", id_.number); }
  return fmt::format("worker {}, pid {}", id_.number, pid());
}

WorkerState SupervisedWorker::state() const {
  if (is_leaving()) { return WorkerState::draining; }
  return is_ready() ? WorkerState::ready : WorkerState::starting;
}

bool SupervisedWorker::was_cut_off() const {
  return !exit_status_.success() || (was_killed() && (left_others_ || has_joined()));
}

bool SupervisedWorker::was_told_to_leave() const {
  switch (reason_) {
    case LeaveReason::reload:
    case LeaveReason::asked:
    case LeaveReason::scaled_down:
    case LeaveReason::stopping:
    case LeaveReason::handing_over:
    case LeaveReason::discarded: return true;
    case LeaveReason::none:
    case LeaveReason::overdue:
    case LeaveReason::unresponsive:
    case LeaveReason::protocol_error:
    case LeaveReason::left_others: return false;
  }
  return false;
}

Status SupervisedWorker::failure() const {
  return Status::failure(failure_.value_or("a new worker is gone"));
}

void SupervisedWorker::tell_end() {
  if (has_joined()) { return context_.report_joined_left(fmt::format("{}: left", name())); }
  const std::string status = exit_status_.text();
  if (was_told_to_leave()) {
    return context_.report(Severity::detail, fmt::format("{}: left, {}", name(), status));
  }
  std::string line = fmt::format("{}: {}", name(), status);
  if (left_others_ && exit_status_.success()) {
    line += "; it went into the background and was killed there (run it in the foreground)";
  } else if (left_others_) {
    line += "; what it left behind was killed";
  }
  if (!was_ready()) { line += ", before it was ready"; }
  context_.report(Severity::error, line);
  failure_ = std::move(line);
}

void SupervisedWorker::trouble(std::string_view line) const {
  if (has_joined()) { return context_.report_joined_trouble(line); }
  context_.report(Severity::error, line);
}

std::string SupervisedWorker::describe_overdue() const {
  if (phase_ == WorkerPhase::starting) {
    return fmt::format("{}: not ready within {}, killed", name(), in_words(context_.ready_timeout));
  }
  return fmt::format("{}: still there after {}, {}", name(), in_words(context_.drain_timeout),
                     fate_with_connections());
}

/// Returns "killed with 3 connections".
std::string SupervisedWorker::fate_with_connections() const {
  return fmt::format("{} with {}", has_joined() ? "left alone" : "killed",
                     counted(link_->assigned(), "connection"));
}

}  // namespace handoff

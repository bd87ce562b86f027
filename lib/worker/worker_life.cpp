// SPDX-License-Identifier: MIT
#include "worker/worker_life.hpp"

namespace handoff {

WorkerLife::Event event_of(channel::Drain how) {
  if (how.join_again) {
    return how.give_back ? WorkerLife::Event::drain_rejoining : WorkerLife::Event::master_gone;
  }
  return how.give_back ? WorkerLife::Event::drain_returning : WorkerLife::Event::drain_closing;
}

/// The table shows the next phase, if there is one, and the action after the colon; the columns are
/// the phases before. A second signal, in any phase, cuts off unfinished work; the first one makes
/// a worker that drains already join no other master.
///
///                    starting      alone          serving          leaving          draining
///  begins_alone      alone         -              -                -                -
///  begins_for_master serving       -              -                -                -
///  signal            over:         draining:      leaving:         -                -
///                    stop_waiting  drain_closing  ask_in_time
///  wants_replacement -             draining:      -: ask_master    -                -
///                                  drain_closing
///  drain_returning,  -             -              draining:        draining:        -
///  drain_rejoining                                drain_returning  drain_returning
///  drain_closing,    -             -              draining:        draining:        -: close_rest
///  master_gone                                    drain_closing    drain_closing
///  finished          -             over           over             over             over, starting
///
/// With LameDuck::with, the signal leads from `alone` to `lame_duck: be_lame_duck`, and from there
/// lame_duck_over, as well as a second signal, leads to `draining: drain_closing`.
///
/// A worker that has joined starts anew when it has finished what the master's end, or
/// drain_rejoining, has made it drain. Nothing happens in `over`.
WorkerLife::Action WorkerLife::take(Event event) {
  if (phase_ == Phase::over) { return Action::none; }
  switch (event) {
    case Event::begins_alone:
      if (phase_ == Phase::starting) { phase_ = Phase::alone; }
      return Action::none;
    case Event::begins_for_master:
      if (phase_ == Phase::starting) { phase_ = Phase::serving; }
      return Action::none;
    case Event::signal: return signal();
    case Event::lame_duck_over:
      if (phase_ != Phase::lame_duck) { return Action::none; }
      return drain(Action::drain_closing, Afterwards::end);
    case Event::wants_replacement:
      if (phase_ == Phase::serving) { return Action::ask_master; }
      if (phase_ != Phase::alone) { return Action::none; }
      return drain(Action::drain_closing, Afterwards::end);
    case Event::drain_returning: return drain(Action::drain_returning, Afterwards::end);
    case Event::drain_rejoining: return drain(Action::drain_returning, Afterwards::join_again);
    case Event::drain_closing: return drain(Action::drain_closing, Afterwards::end);
    case Event::master_gone: return drain(Action::drain_closing, Afterwards::join_again);
    case Event::finished: finish(); return Action::none;
  }
  return Action::none;
}

WorkerLife::Action WorkerLife::signal() {
  signals_ = signals_ == Signals::none ? Signals::one : Signals::several;
  switch (phase_) {
    case Phase::starting: phase_ = Phase::over; return Action::stop_waiting;
    case Phase::alone:
      if (lame_duck_ == LameDuck::without) { return drain(Action::drain_closing, Afterwards::end); }
      phase_ = Phase::lame_duck;
      return Action::be_lame_duck;
    case Phase::lame_duck: return drain(Action::drain_closing, Afterwards::end);
    case Phase::serving: phase_ = Phase::leaving; return Action::ask_in_time;
    default: return Action::none;
  }
}

WorkerLife::Action WorkerLife::drain(Action how, Afterwards afterwards) {
  if (phase_ == Phase::starting) { return Action::none; }
  if (phase_ == Phase::draining) {
    return how == Action::drain_closing ? Action::close_rest : Action::none;
  }
  phase_ = Phase::draining;
  afterwards_ = afterwards;
  return how;
}

void WorkerLife::finish() {
  if (phase_ == Phase::starting) { return; }
  const bool joins = phase_ == Phase::draining && afterwards_ == Afterwards::join_again &&
                     signals_ == Signals::none;
  phase_ = joins ? Phase::starting : Phase::over;
  afterwards_ = Afterwards::end;
}

}  // namespace handoff

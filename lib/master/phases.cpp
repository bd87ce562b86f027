// SPDX-License-Identifier: MIT
#include "master/phases.hpp"

namespace handoff {

/// The table shows the next phase, if there is one, and the action after the colon; the columns are
/// the phases before. A stop while the master takes over is put off: the predecessor may be handing
/// over, and its connections would be lost. A second stop is not put off.
///
///                         starting       serving        taking_over    stopping  handing_over
///     workers_ready       serving:       -              -              -         -
///                           serve
///     promised            -              taking_over    -              -         -
///     predecessor_settled -              -              serving, or    -         leave_successor
///                                                       stopping:                if a stop was
///                                                         stop                   put off
///     stop                stopping:      stopping:      - (put off)    -         leave_successor,
///                           stop           stop                                  the first time
///     stop_again          stopping:      stopping:      stopping:      kill      kill, unless it
///                           stop           stop           stop                   is the first
///     cannot_go_on        stopping:      stopping:      stopping:      kill      kill
///                           stop_at_once   stop_at_once   stop_at_once
///     successor_ready     handing_over:  handing_over:  handing_over:  -         -
///                           hand_over      hand_over      hand_over
///     drained             -              -              -              over      over
///
/// With LameDuck::with, what leads from `serving` or `taking_over` to `stopping: stop` leads to
/// `lame_duck: be_lame_duck` instead. From there lame_duck_over leads to `stopping: stop`, and
/// stop_again and cannot_go_on to `stopping: stop_at_once`; nothing else changes it.
///
/// Nothing happens in `over`.
MasterAction MasterPhases::take(MasterEvent event) {
  switch (event) {
    case MasterEvent::workers_ready:
      if (phase_ != MasterPhase::starting) { return MasterAction::none; }
      phase_ = MasterPhase::serving;
      return MasterAction::serve;
    case MasterEvent::promised:
      if (phase_ == MasterPhase::serving) { phase_ = MasterPhase::taking_over; }
      return MasterAction::none;
    case MasterEvent::predecessor_settled: return settle();
    case MasterEvent::stop:
      if (phase_ != MasterPhase::taking_over) { return stop(Stop::asked); }
      stop_ = Stop::put_off;
      return MasterAction::none;
    case MasterEvent::stop_again: return stop(is_told_to_stop() ? Stop::hurried : Stop::asked);
    case MasterEvent::lame_duck_over:
      if (phase_ != MasterPhase::lame_duck) { return MasterAction::none; }
      phase_ = MasterPhase::stopping;
      return MasterAction::stop;
    case MasterEvent::cannot_go_on: return stop(Stop::hurried);
    case MasterEvent::successor_ready:
      if (!may_change()) { return MasterAction::none; }
      phase_ = MasterPhase::handing_over;
      return MasterAction::hand_over;
    case MasterEvent::drained:
      if (!goes_on()) { phase_ = MasterPhase::over; }
      return MasterAction::none;
  }
  return MasterAction::none;
}

MasterAction MasterPhases::settle() {
  if (phase_ == MasterPhase::taking_over) { phase_ = MasterPhase::serving; }
  return stop_ == Stop::put_off ? stop(Stop::asked) : MasterAction::none;
}

MasterAction MasterPhases::stop(Stop how) {
  if (phase_ == MasterPhase::over) { return MasterAction::none; }
  const bool is_first = !is_told_to_stop();
  if (is_first || how == Stop::hurried) { stop_ = how; }
  if (phase_ == MasterPhase::lame_duck && how == Stop::asked) { return MasterAction::none; }
  if (goes_on()) {
    const bool serves = phase_ == MasterPhase::serving || phase_ == MasterPhase::taking_over;
    const bool is_lame_duck = serves && lame_duck_ == LameDuck::with && how == Stop::asked;
    phase_ = is_lame_duck ? MasterPhase::lame_duck : MasterPhase::stopping;
    if (is_lame_duck) { return MasterAction::be_lame_duck; }
    return how == Stop::hurried ? MasterAction::stop_at_once : MasterAction::stop;
  }
  if (how == Stop::hurried) { return MasterAction::kill; }
  const bool leaves_successor = is_first && phase_ == MasterPhase::handing_over;
  return leaves_successor ? MasterAction::leave_successor : MasterAction::none;
}

}  // namespace handoff

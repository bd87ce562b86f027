// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

/// What a master does at the moment.
enum class MasterPhase {
  starting,      ///< its first workers start
  serving,       ///< it accepts clients
  taking_over,   ///< it accepts clients, and its predecessor may not have handed over yet
  lame_duck,     ///< it accepts clients for a while, and ends each connection after its next reply
  stopping,      ///< it ends when its clients are served
  handing_over,  ///< a successor serves, and gets everything that is left
  over,          ///< no worker and no client is left
};

/// What can happen to a master.
enum class MasterEvent {
  workers_ready,        ///< each of its first workers has been ready
  promised,             ///< the predecessor, which serves, was told that this master is ready
  predecessor_settled,  ///< the predecessor has handed over, or has ended
  stop,                 ///< it is told to stop
  stop_again,           ///< it is told to stop once more
  lame_duck_over,       ///< the time of the lame-duck phase is over
  cannot_go_on,         ///< no worker can start, or the process that was started is gone
  successor_ready,      ///< another master serves
  drained,              ///< no worker and no client is left
};

/// What a master does at an event.
enum class MasterAction {
  none,
  serve,            ///< accept clients
  be_lame_duck,     ///< tell the workers that each connection ends after its next reply
  stop,             ///< accept none, and tell the workers to finish
  stop_at_once,     ///< accept none, and kill the workers
  kill,             ///< kill the workers, which are finishing
  hand_over,        ///< give everything to the successor
  leave_successor,  ///< the successor stops too, and takes nothing more
};

/// Says whether a master that is told to stop has a lame-duck phase.
enum class LameDuck { without, with };

/// The phases of a master's life, without the objects that it acts on; the table of transitions is
/// at take().
class MasterPhases {
 public:
  explicit MasterPhases(LameDuck lame_duck = LameDuck::without) : lame_duck_(lame_duck) {}

  MasterPhase phase() const { return phase_; }
  /// Returns whether clients are served or will be.
  bool goes_on() const { return may_change() || phase_ == MasterPhase::lame_duck; }
  /// Returns whether it may also be reloaded and upgraded: it is not going to end.
  bool may_change() const {
    return phase_ == MasterPhase::starting || phase_ == MasterPhase::serving ||
           phase_ == MasterPhase::taking_over;
  }
  /// Returns whether it was told to stop and does so; also while it hands over.
  bool is_told_to_stop() const { return stop_ == Stop::asked || stop_ == Stop::hurried; }
  /// Returns whether it waits for nothing any more.
  bool hurried() const { return stop_ == Stop::hurried; }

  /// Changes the phase, and returns what the master must do. Nothing else changes it.
  MasterAction take(MasterEvent event);

 private:
  enum class Stop {
    none,
    put_off,  ///< the stop is put off until the predecessor has handed over or ended
    asked,
    hurried,
  };
  MasterAction stop(Stop how);
  MasterAction settle();

  LameDuck lame_duck_;
  MasterPhase phase_ = MasterPhase::starting;
  Stop stop_ = Stop::none;
};

}  // namespace handoff

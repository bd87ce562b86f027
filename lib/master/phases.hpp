// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

enum class MasterPhase {
  starting,      ///< its first workers start
  serving,       ///< it accepts clients
  taking_over,   ///< it does so too, and the predecessor may not have handed over yet
  stopping,      ///< it ends when its clients are served
  handing_over,  ///< a successor serves, and gets what there is
  over,          ///< no worker and no client is left
};

/// What can happen to a master.
enum class MasterEvent {
  workers_ready,        ///< each of its first workers has been ready
  promised,             ///< a predecessor that serves was told that this master is ready
  predecessor_settled,  ///< the predecessor has handed over, or has ended
  stop,                 ///< it is told to stop
  stop_again,           ///< it is told to stop once more
  cannot_go_on,         ///< no worker can start, or nobody waits for this server any more
  successor_ready,      ///< another master serves
  drained,              ///< no worker and no client is left
};

/// What a master does at an event.
enum class MasterAction {
  none,
  serve,            ///< accept clients
  stop,             ///< accept none, and have the workers finish
  stop_at_once,     ///< the same, and kill the workers
  kill,             ///< the workers, which finish already
  hand_over,        ///< give everything to the successor
  leave_successor,  ///< the successor stops too, and takes nothing more
};

/// The life of a master, without what it acts on.
class MasterPhases {
 public:
  MasterPhase phase() const { return phase_; }
  /// Whether clients are served or will be: nothing has ended this master yet.
  bool goes_on() const {
    return phase_ == MasterPhase::starting || phase_ == MasterPhase::serving ||
           phase_ == MasterPhase::taking_over;
  }
  /// Whether it was told to stop, and does so; also while it hands over.
  bool is_told_to_stop() const { return stop_ == Stop::asked || stop_ == Stop::hurried; }
  /// Whether nothing is waited for any more.
  bool hurried() const { return stop_ == Stop::hurried; }

  /// The only place that changes the phase. Returns what is to be done.
  MasterAction take(MasterEvent event);

 private:
  enum class Stop {
    none,
    put_off,  ///< until the predecessor has handed over or ended
    asked,
    hurried,
  };
  MasterAction stop(Stop how);
  MasterAction settle();

  MasterPhase phase_ = MasterPhase::starting;
  Stop stop_ = Stop::none;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include "pass/channel.hpp"

namespace handoff {

/// The phases of a worker's life, without what it acts on.
class WorkerLife {
 public:
  enum class Phase {
    starting,  ///< it serves nothing yet, or waits for a master to join
    alone,     ///< it serves without a master
    serving,   ///< it serves for a master
    leaving,   ///< so it does still, and a signal has had it ask the master to be drained
    draining,  ///< it finishes what was started, and takes nothing new
    over,      ///< it serves nothing any more
  };

  /// What can happen to it.
  enum class Event {
    begins_alone,
    begins_for_master,
    signal,             ///< a signal ends it
    wants_replacement,  ///< it has had its requests, or its time
    drain_returning,    ///< the master takes back what is between two requests
    drain_closing,      ///< the master takes nothing back
    drain_rejoining,    ///< as drain_returning, and it is to join again
    master_gone,        ///< the master can take nothing back; another one may follow
    finished,           ///< what was started has ended, or its time has
  };

  /// What it does at an event.
  enum class Action {
    none,
    stop_waiting,  ///< for a master
    ask_master,    ///< to be drained
    ask_in_time,   ///< the same; it drains by itself if the master does not answer in time
    drain_returning,
    drain_closing,
    close_rest,  ///< what it would have returned has to be closed
  };

  Phase phase() const { return phase_; }
  /// Whether it takes nothing new.
  bool drains() const { return phase_ == Phase::draining || phase_ == Phase::over; }
  /// Whether what is not finished is cut off now, because of a second signal.
  bool is_hurried() const { return signals_ == Signals::several; }
  /// Whether a signal has ended it, so that it joins no other master.
  bool is_told_to_end() const { return signals_ != Signals::none; }

  /// The only place that changes the phase. Returns what is to be done.
  Action take(Event event);

 private:
  enum class Signals { none, one, several };
  enum class Afterwards { end, join_again };

  Action signal();
  Action drain(Action how, Afterwards afterwards);
  void finish();

  Phase phase_ = Phase::starting;
  Signals signals_ = Signals::none;
  Afterwards afterwards_ = Afterwards::end;
};

/// The event that a master's DRAIN is.
WorkerLife::Event event_of(channel::Drain how);

}  // namespace handoff

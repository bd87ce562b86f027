// SPDX-License-Identifier: MIT
#pragma once

#include "pass/channel.hpp"

namespace handoff {

/// The phases of a worker's life, without the objects that it acts on; the table of transitions is
/// at take().
class WorkerLife {
 public:
  /// What the worker does at the moment.
  enum class Phase {
    starting,   ///< it serves nothing yet, or waits for a master to join
    alone,      ///< it serves without a master
    lame_duck,  ///< it serves without a master for a while, and ends each connection after its next
                ///< reply
    serving,    ///< it serves for a master
    leaving,    ///< it serves for a master still, and has asked it, because of a signal, to be
                ///< drained
    draining,   ///< it finishes what was started and takes nothing new
    over,       ///< it serves nothing any more
  };

  /// What can happen to the worker.
  enum class Event {
    begins_alone,
    begins_for_master,
    signal,             ///< a signal ends it
    lame_duck_over,     ///< the time of the lame-duck phase is over
    wants_replacement,  ///< it has served its number of requests, or its time
    drain_returning,    ///< the master takes back what is between two requests
    drain_closing,      ///< the master takes nothing back
    drain_rejoining,    ///< as drain_returning, and the worker joins a master again
    master_gone,        ///< the master can take nothing back; another one may follow
    finished,           ///< what was started has ended, or its time is over
  };

  /// What the worker does at an event.
  enum class Action {
    none,
    stop_waiting,  ///< stops waiting for a master
    be_lame_duck,  ///< has each connection end after its next reply
    ask_master,    ///< asks the master to be drained
    ask_in_time,   ///< asks the master to be drained, and drains by itself if there is no answer in
                   ///< time
    drain_returning,
    drain_closing,
    close_rest,  ///< closes the connections that it would have returned
  };

  /// Whether a worker that serves alone has a lame-duck phase.
  enum class LameDuck { without, with };
  explicit WorkerLife(LameDuck lame_duck = LameDuck::without) : lame_duck_(lame_duck) {}

  Phase phase() const { return phase_; }
  /// Returns whether the worker takes nothing new.
  bool drains() const { return phase_ == Phase::draining || phase_ == Phase::over; }
  /// Returns whether unfinished work is cut off now, because of a second signal.
  bool is_hurried() const { return signals_ == Signals::several; }
  /// Returns whether a signal has ended the worker, so that it joins no other master.
  bool is_told_to_end() const { return signals_ != Signals::none; }

  /// Changes the phase, and returns what the worker must do. Nothing else changes it.
  Action take(Event event);

 private:
  enum class Signals { none, one, several };
  enum class Afterwards { end, join_again };

  Action signal();
  Action drain(Action how, Afterwards afterwards);
  void finish();

  LameDuck lame_duck_;
  Phase phase_ = Phase::starting;
  Signals signals_ = Signals::none;
  Afterwards afterwards_ = Afterwards::end;
};

/// Returns the event that a DRAIN message of the master means.
WorkerLife::Event event_of(channel::Drain how);

}  // namespace handoff

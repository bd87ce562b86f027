// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "async/stream.hpp"
#include "master/answer_watch.hpp"
#include "master/worker_channel.hpp"
#include "os/fd.hpp"
#include "os/process_tree.hpp"

namespace handoff {

struct Place;

/// What a worker does, as its supervisor sees it. It only ever moves on, and may skip phases.
enum class WorkerPhase {
  starting,
  standby,  ///< ready; it serves once the worker before it is told to leave
  serving,
  draining,  ///< it was told to finish and leave
  killed,    ///< given up: what it says of connections still counts, what it promises does not
};

/// Why a worker leaves; the first reason stays.
enum class LeaveReason {
  none,
  drained,
  discarded,  ///< before it has served anybody
  overdue,    ///< not ready, or not gone, in time
  protocol_error,
};

/// A worker as its supervisor knows it: a child of ours, or one that has joined.
struct Member {
  Member(Reactor& loop, int n) : reactor(loop), number(n), wake(loop) {}

  /// "worker 1, pid 4711", as diagnostics call it.
  std::string name() const;
  /// That of the child, or of the process that connected to join: 0 for one of another PID
  /// namespace. What a worker says of itself in HELLO counts for nothing.
  pid_t pid() const { return joined ? peer_pid : child.pid(); }
  /// So long for what it does now, starting or draining.
  void limit(Duration duration);
  void unlimit();
  bool is_ready() const { return phase == WorkerPhase::standby || phase == WorkerPhase::serving; }
  /// Whether it was told to leave, or was given up.
  bool is_leaving() const { return phase >= WorkerPhase::draining; }
  /// Whether it was told to leave before it ended.
  bool was_told_to_leave() const {
    return leave_reason == LeaveReason::drained || leave_reason == LeaveReason::discarded;
  }
  /// Moves on to a later phase; does nothing in that one or a later.
  void enter(WorkerPhase next, LeaveReason why = LeaveReason::none);
  /// At once, with its tree; one that has joined is only let go.
  void kill(LeaveReason why);
  /// The child has ended: from now on the deadline is for what it has left behind, and `wake` says
  /// that the deadline has passed, or that one of those has ended.
  void outlive_child();
  /// How the child ended, as diagnostics have it.
  std::string end_in_words(const ExitStatus& status) const;

  Reactor& reactor;
  int number;
  Place* place = nullptr;  ///< where it serves or shall serve; none when it joined or drains
  WorkerPhase phase = WorkerPhase::starting;
  LeaveReason leave_reason = LeaveReason::none;
  bool was_ready = false;
  bool joined = false;
  pid_t peer_pid = 0;        ///< of one that has joined
  bool would_leave = false;  ///< it has asked to be drained
  ProcessTree child;         ///< with all that it starts; of one that we have started
  bool left_others = false;  ///< it has ended, and others of the tree lived on
  std::shared_ptr<WorkerChannel> link;
  std::optional<Readiness> exited;   ///< of a child that has not ended
  TimePoint due = kNever;            ///< when it is killed
  std::optional<Deadline> deadline;  ///< the same for a child
  std::optional<Alarm> alarm;        ///< the same for one that has joined, and for what is left
  Event wake;                        ///< the alarm, the end of one that has joined, or SIGCHLD
  TimePoint started = Clock::now();
  AnswerWatch answers;
};

/// One of the places for a worker. Who is in it changes.
struct Place {
  Place(Reactor& reactor, int n) : number(n), changed(reactor) {}

  int number;
  Member* current = nullptr;  ///< starting for the first time, or serving
  Member* next = nullptr;     ///< shall replace it
  bool retired = false;       ///< nobody follows
  bool replacing = false;     ///< Supervisor::replace() is at work
  Event changed;              ///< current or retired has
  unsigned restarts = 0;
  unsigned pauses = 0;             ///< in a row, because workers die young
  bool restarted_at_once = false;  ///< the one that died young was
  std::string last_exit;
};

/// Starts a worker with this number: its end of the channel stands behind the descriptors that it
/// inherits, which programs that know nothing of us look for at 3 (sd_listen_fds(3)). Its tree has
/// the mark. Throws SystemError when the program can't be executed.
ProcessTree spawn_worker(const std::vector<std::string>& command, int number, std::string mark,
                         const Fd& channel, std::span<const int> inheritance);

}  // namespace handoff

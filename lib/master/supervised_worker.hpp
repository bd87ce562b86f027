// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "async/reactor.hpp"
#include "master/alarm_clock.hpp"
#include "master/answer_watch.hpp"
#include "master/pass_mode.hpp"
#include "master/worker_channel.hpp"
#include "master/worker_spawner.hpp"
#include "master/worker_status.hpp"
#include "os/child.hpp"
#include "os/log.hpp"
#include "os/status.hpp"

namespace handoff {

/// What a worker does, as its supervisor sees it. A worker only moves on to later phases, and may
/// skip some; the table of transitions is at SupervisedWorker::enter.
enum class WorkerPhase {
  starting,
  standby,   ///< ready; it serves when its slot lets it
  serving,   ///< the pass mode gives it work
  draining,  ///< it was told to finish and leave
  killed,    ///< given up: only connections that it returns still count
  ended,     ///< its process tree is gone, and everything that it had sent was received
};

/// Why a worker leaves; the first reason stays.
enum class LeaveReason {
  none,            ///< it ended by itself, or serves
  reload,          ///< a reload has replaced it
  asked,           ///< it asked to leave, or an operator had it replaced
  scaled_down,     ///< its slot was retired
  stopping,        ///< the master stops
  handing_over,    ///< the master's successor takes over
  discarded,       ///< it was killed before it had served anything
  overdue,         ///< it was not ready, or not gone, in time
  unresponsive,    ///< it left questions unanswered
  protocol_error,  ///< it has broken the protocol
  left_others,     ///< it ended by itself, and others of its tree did not
};

/// The identity of a worker. A number may belong to several workers one after the other, and for a
/// time to a worker that drains and its successor; an incarnation belongs to one worker.
struct WorkerId {
  int number = 0;
  std::uint64_t incarnation = 0;

  bool operator==(const WorkerId&) const = default;
};

/// How a worker is told to leave.
enum class LeaveSignal {
  message,          ///< a message on its channel, or its end
  message_and_term  ///< also SIGTERM: it accepts for itself, and may have closed its channel
};

class SupervisedWorker;

/// The observer of workers: it is called with what has become of a worker, or what it wants, that
/// others must act on.
class WorkerListener {
 public:
  /// Called when the worker is on standby. To let it serve, call its serve().
  virtual void worker_ready(SupervisedWorker& worker) = 0;
  /// Called when a worker that was spawned asks to be replaced; it serves until it is told to
  /// leave. Called once for each worker.
  virtual void worker_asks_to_leave(SupervisedWorker& worker) = 0;
  /// Called when the worker has ended; it is forgotten after this call.
  virtual void worker_ended(SupervisedWorker& worker) = 0;

 protected:
  ~WorkerListener() = default;
};

/// What all workers of a supervisor share. The supervisor keeps it alive.
struct WorkerContext {
  Reactor& reactor;
  AlarmClock& clock;
  PassMode& mode;
  WorkerListener& listener;
  Duration ready_timeout;  ///< 0, here and below: no limit
  Duration drain_timeout;
  Duration hang_timeout;
  Report report;  ///< logs lines about workers that were spawned
  /// These log lines about workers that have joined, of which several may leave at once.
  std::function<void(std::string_view)> report_joined_left;
  std::function<void(std::string_view)> report_joined_trouble;
};

/// A worker, as its supervisor knows it: a process tree that was spawned, or a process that has
/// joined. Its functions are events, which happen to a worker, and orders, which it is given; each
/// of them may be called in every phase.
class SupervisedWorker final : public std::enable_shared_from_this<SupervisedWorker> {
 public:
  /// Makes a worker that was spawned.
  SupervisedWorker(const WorkerContext& context, WorkerId id, std::shared_ptr<WorkerChannel> link,
                   std::unique_ptr<WorkerProcess> process, LeaveSignal leave_signal);
  /// Makes a worker that has joined from the process `peer`, which is 0 in another PID namespace.
  SupervisedWorker(const WorkerContext& context, WorkerId id, std::shared_ptr<WorkerChannel> link,
                   pid_t peer);
  SupervisedWorker(const SupervisedWorker&) = delete;
  SupervisedWorker& operator=(const SupervisedWorker&) = delete;

  // Events.

  /// Called when it has said READY, or need not say so.
  void ready();
  /// Called when it has said LEAVE.
  void asks_to_leave();
  /// Called when its end of the channel is closed; nothing more can be passed to it.
  void channel_closed();
  /// Called when it has broken the protocol of its channel, which is closed now.
  void protocol_broken(std::string_view problem);
  /// Called when it has answered a question.
  void answered();
  /// Called when a quarter of the hang time-out has passed; see AnswerWatch.
  void quarter_passed(AnswerWatch::Look look);
  /// Called when the process that was spawned has ended; other processes of its tree may live on.
  void leader_ended();
  /// Called when the process of a worker that has joined has ended; other processes may have its
  /// end of the channel.
  void joined_process_ended();
  /// Called when a child of this process has ended, which may be one of its tree.
  void child_ended();
  /// Called when it is over(), and everything that it has sent was received. Blocks for as long as
  /// a killed process takes to die.
  void end();

  // Orders.

  /// Lets a worker on standby get work from the pass mode.
  void serve();
  /// Tells it to finish and leave. A worker that drains already is told again if the master stops
  /// meanwhile: it then closes the connections that it would have given back.
  void drain(LeaveReason why);
  /// Ends it at once, with its tree; a worker that has joined is only let go.
  void kill(LeaveReason why);

  // What is known.

  WorkerId id() const { return id_; }
  /// Returns "worker 1, pid 4711", as diagnostics call it.
  std::string name() const;
  /// Returns the process that was spawned, or the one that connected to join: 0 in another PID
  /// namespace. What a worker says of itself in HELLO is not used.
  pid_t pid() const { return process_ != nullptr ? process_->pid() : peer_; }
  bool has_joined() const { return process_ == nullptr; }
  WorkerPhase phase() const { return phase_; }
  LeaveReason leave_reason() const { return reason_; }
  /// Returns the state for `status`.
  WorkerState state() const;
  bool is_ready() const { return phase_ == WorkerPhase::standby || phase_ == WorkerPhase::serving; }
  /// Returns whether it was told to leave, or was given up.
  bool is_leaving() const { return phase_ >= WorkerPhase::draining; }
  /// Returns whether it was told to leave before it ended, so that its end is no failure.
  bool was_told_to_leave() const;
  bool was_ready() const { return ready_since_.has_value(); }
  TimePoint started() const { return started_; }
  const std::shared_ptr<WorkerChannel>& link() const { return link_; }
  /// `co_await worker.over()` waits until no process of its tree lives; for a worker that has
  /// joined, until its channel is closed or it was let go.
  Event& over() { return over_; }
  /// `co_await worker.process_end()` waits until joined_process_ended() was called, or until a
  /// time-out that the caller has set for this event has passed.
  Event& process_end() { return process_end_; }
  bool joined_process_has_ended() const { return joined_process_ended_; }
  /// Returns a descriptor that becomes readable when its leader has ended; only for a worker that
  /// was spawned.
  int exit_fd() const { return process_->exit_fd(); }
  bool leader_has_ended() const { return process_->leader_has_ended(); }
  /// Returns how the leader ended, when the phase is `ended`; success for a worker that has joined.
  const ExitStatus& exit_status() const { return exit_status_; }
  bool was_killed() const { return kill_reason_ != LeaveReason::none; }
  /// Returns whether it ended otherwise than a worker should that was told to leave: by a failure,
  /// or because what it left behind had to be killed.
  bool was_cut_off() const;
  /// Returns why a worker that was needed is gone.
  Status failure() const;

 private:
  /// What is left of its processes.
  enum class Life { running, leaderless, over };

  /// Changes the phase; nothing else does.
  void enter(WorkerPhase next, LeaveReason why = LeaveReason::none);
  /// Arms the deadline of the current phase; when it passes, the worker is killed.
  void arm_deadline();
  void deadline_passed();
  /// Tells the worker to leave, by its channel and if needed by SIGTERM.
  void tell_to_leave(WorkerPhase before);
  /// Finds out whether processes of the tree are left after its leader has ended.
  void look_at_tree();
  /// Called when no process of it lives, or it was let go.
  void life_is_over();
  /// Logs how it has ended.
  void tell_end();
  /// Returns which of its connections go to others, and to which.
  Departure departure() const;
  void trouble(std::string_view line) const;
  std::string describe_overdue() const;
  std::string fate_with_connections() const;

  const WorkerContext& context_;
  WorkerId id_;
  std::shared_ptr<WorkerChannel> link_;
  std::unique_ptr<WorkerProcess> process_;  ///< null if it has joined
  LeaveSignal leave_signal_ = LeaveSignal::message;
  pid_t peer_ = 0;
  WorkerPhase phase_ = WorkerPhase::starting;
  LeaveReason reason_ = LeaveReason::none;
  LeaveReason kill_reason_ = LeaveReason::none;  ///< `none`: it was not killed
  Life life_ = Life::running;
  TimePoint started_;
  std::optional<TimePoint> ready_since_;
  std::unique_ptr<AlarmClock::Alarm> deadline_;  ///< the deadline of the phase; null if it has none
  AnswerWatch answers_;
  Event over_;
  ExitStatus exit_status_;
  std::optional<std::string> failure_;  ///< the log line about its failure, if it has failed
  bool has_asked_to_leave_ = false;
  bool joined_process_ended_ = false;
  Event process_end_;
  bool left_others_ = false;  ///< its leader has ended while others of its tree lived
};

}  // namespace handoff

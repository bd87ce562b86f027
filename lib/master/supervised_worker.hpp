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

/// What a worker does, as its supervisor sees it. A worker only ever moves on, and may skip phases;
/// the table of transitions stands at SupervisedWorker::enter.
enum class WorkerPhase {
  starting,
  standby,   ///< ready; it serves once its slot lets it
  serving,   ///< the pass mode gives it work
  draining,  ///< it was told to finish and leave
  killed,    ///< given up: only the connections that it gives back still count
  ended,     ///< its process tree is gone, and everything that it has sent was received
};

/// Why a worker leaves; the first reason stays.
enum class LeaveReason {
  none,            ///< it ended by itself, or serves
  reload,          ///< a reload has replaced it
  asked,           ///< it asked to leave, or an operator had it replaced
  scaled_down,     ///< its slot was retired
  stopping,        ///< the master stops
  handing_over,    ///< the master's successor takes over
  discarded,       ///< it was killed before it had served anybody
  overdue,         ///< it was not ready, or not gone, in time
  unresponsive,    ///< it left questions unanswered
  protocol_error,  ///< it said what no worker may say
  left_others,     ///< it ended by itself, and others of its tree did not
};

/// The identity of a worker: a number may belong to several workers one after another, and for a
/// time to one that drains and its successor; an incarnation belongs to one worker.
struct WorkerId {
  int number = 0;
  std::uint64_t incarnation = 0;

  bool operator==(const WorkerId&) const = default;
};

/// How a worker is told to leave.
enum class LeaveSignal {
  message,          ///< a message on its channel, or its end
  message_and_term  ///< SIGTERM too: it accepts for itself, and may have closed its channel
};

class SupervisedWorker;

/// Is told of what a worker has become, or wants, that others have to act on.
class WorkerListener {
 public:
  /// The worker is on standby. To let it serve, call its serve().
  virtual void worker_ready(SupervisedWorker& worker) = 0;
  /// A worker that was spawned asks to be replaced; it serves until it is told to leave. Called
  /// once for each worker.
  virtual void worker_asks_to_leave(SupervisedWorker& worker) = 0;
  /// The worker has ended, and is forgotten after this call.
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
  Duration ready_timeout;  ///< 0, as for the others: no limit
  Duration drain_timeout;
  Duration hang_timeout;
  Report report;  ///< of workers that were spawned
  /// Of workers that have joined, several of which may leave at a time.
  std::function<void(std::string_view)> report_joined_left;
  std::function<void(std::string_view)> report_joined_trouble;
};

/// A worker as its supervisor knows it: a process tree that was spawned, or one that has joined.
/// Its methods are what happens to a worker (events), and what it is told (orders); each of them
/// may be called in every phase.
class SupervisedWorker final : public std::enable_shared_from_this<SupervisedWorker> {
 public:
  /// A worker that was spawned.
  SupervisedWorker(const WorkerContext& context, WorkerId id, std::shared_ptr<WorkerChannel> link,
                   std::unique_ptr<WorkerProcess> process, LeaveSignal leave_signal);
  /// A worker that has joined from the process `peer`: 0 for one of another PID namespace.
  SupervisedWorker(const WorkerContext& context, WorkerId id, std::shared_ptr<WorkerChannel> link,
                   pid_t peer);
  SupervisedWorker(const SupervisedWorker&) = delete;
  SupervisedWorker& operator=(const SupervisedWorker&) = delete;

  // Events.

  /// It has said READY, or needs not say so.
  void ready();
  /// It has said LEAVE.
  void asks_to_leave();
  /// Its end of the channel is closed; nothing more can be passed to it.
  void channel_closed();
  /// It has broken the protocol of its channel, which is closed now.
  void protocol_broken(std::string_view problem);
  /// It has answered a question.
  void answered();
  /// A quarter of the hang timeout has passed; see AnswerWatch.
  void quarter_passed(AnswerWatch::Look look);
  /// The process that was spawned has ended; others of its tree may live on.
  void leader_ended();
  /// The process of a worker that has joined has ended; others may have its end of the channel.
  void joined_process_ended();
  /// A child of this process has ended, perhaps one of its tree.
  void child_ended();
  /// It is over(), and everything that it has sent was received. Blocks for as long as a killed
  /// process takes to die.
  void end();

  // Orders.

  /// From standby: the pass mode may give it work.
  void serve();
  /// Finish and leave. A worker that drains is told again if the master stops meanwhile: what it
  /// was to give back, it closes then.
  void drain(LeaveReason why);
  /// Ends it at once, with its tree; a worker that has joined is only let go.
  void kill(LeaveReason why);

  // What is known.

  WorkerId id() const { return id_; }
  /// "worker 1, pid 4711", as diagnostics call it.
  std::string name() const;
  /// That of the process that was spawned, or of the one that connected to join: 0 for one of
  /// another PID namespace. What a worker says of itself in HELLO counts for nothing.
  pid_t pid() const { return process_ != nullptr ? process_->pid() : peer_; }
  bool has_joined() const { return process_ == nullptr; }
  WorkerPhase phase() const { return phase_; }
  LeaveReason leave_reason() const { return reason_; }
  WorkerState state() const;
  bool is_ready() const { return phase_ == WorkerPhase::standby || phase_ == WorkerPhase::serving; }
  /// Whether it was told to leave, or was given up.
  bool is_leaving() const { return phase_ >= WorkerPhase::draining; }
  /// Whether it was told to leave before it ended, and its end is no failure.
  bool was_told_to_leave() const;
  bool was_ready() const { return ready_since_.has_value(); }
  TimePoint started() const { return started_; }
  const std::shared_ptr<WorkerChannel>& link() const { return link_; }
  /// `co_await worker.over()`: waits until nothing of its tree lives; of a worker that has joined,
  /// until its channel is closed or it was let go.
  Event& over() { return over_; }
  /// `co_await worker.process_end()`: waits until joined_process_ended() was called, or a timeout
  /// that the caller has set for this event has passed.
  Event& process_end() { return process_end_; }
  bool joined_process_has_ended() const { return joined_process_ended_; }
  /// A descriptor that becomes readable once its leader has ended; of a worker that was spawned.
  int exit_fd() const { return process_->exit_fd(); }
  bool leader_has_ended() const { return process_->leader_has_ended(); }
  /// How the leader ended; once the phase is `ended`. Success of a worker that has joined.
  const ExitStatus& exit_status() const { return exit_status_; }
  bool was_killed() const { return kill_reason_ != LeaveReason::none; }
  /// Whether it ended otherwise than a worker that was told to leave should: by a failure, or
  /// because what it left behind had to be killed.
  bool was_cut_off() const;
  /// Why a worker that was needed is gone.
  Status failure() const;

 private:
  /// What of it lives.
  enum class Life { running, leaderless, over };

  void enter(WorkerPhase next, LeaveReason why = LeaveReason::none);
  void arm_deadline();
  void deadline_passed();
  void tell_to_leave(WorkerPhase before);
  void look_at_tree();
  void life_is_over();
  void tell_end();
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
  std::unique_ptr<AlarmClock::Alarm> deadline_;  ///< of the phase; null if it has none
  AnswerWatch answers_;
  Event over_;
  ExitStatus exit_status_;
  std::optional<std::string> failure_;  ///< the line that tells how it failed, if it has
  bool has_asked_to_leave_ = false;
  bool joined_process_ended_ = false;
  Event process_end_;
  bool left_others_ = false;  ///< its leader had ended when others of its tree lived
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/limited_line.hpp"
#include "async/race.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/alarm_clock.hpp"
#include "master/balancer.hpp"
#include "master/custody.hpp"
#include "master/pass_mode.hpp"
#include "master/supervised_worker.hpp"
#include "master/worker_channel.hpp"
#include "master/worker_spawner.hpp"
#include "master/worker_traffic.hpp"
#include "os/fd.hpp"
#include "os/log.hpp"
#include "wire/limits.hpp"

namespace handoff {

/// How workers are started and supervised.
struct SupervisorOptions {
  std::vector<std::string> command;  ///< the program of every worker; empty: workers only join
  Handshake handshake = Handshake::full;
  Duration ready_timeout = std::chrono::seconds(10);
  Duration drain_timeout = std::chrono::seconds(30);
  Duration hang_timeout = limits::kHangTimeout;  ///< 0: a worker may hang
  Duration backoff_min = std::chrono::milliseconds(100);
  Duration backoff_max = std::chrono::seconds(10);
};

/// The workers that exist. It spawns them, takes in those that join, waits for the end of each, and
/// finds those that hang. Its listener decides what a worker is for, and what follows it.
class WorkerRoster {
 public:
  using Worker = std::shared_ptr<SupervisedWorker>;

  /// Calls `has_room` when a worker has room again. All references must outlive this object.
  WorkerRoster(Reactor& reactor, AlarmClock& clock, PassMode& mode, Balancer& balancer,
               std::shared_ptr<Custody> custody, SpawnWorker spawn,
               const SupervisorOptions& options, Report report, WorkerListener& listener,
               std::function<void()> has_room);
  WorkerRoster(const WorkerRoster&) = delete;
  WorkerRoster& operator=(const WorkerRoster&) = delete;

  /// Starts a worker. Throws SystemError if the program cannot be executed.
  Worker spawn(int number);
  /// Takes in a worker that has joined by this channel. It is turned away if there are kMaxJoined
  /// already.
  void adopt(int number, Fd channel);
  /// The most workers that may have joined.
  static constexpr std::size_t kMaxJoined = 1024;
  /// Call this when a child of this process has ended.
  void child_ended();

  /// See KeptConnections.
  void drop_touched_luggage();

  /// Returns all workers that have not ended, in the order of their coming.
  const std::vector<Worker>& workers() const { return workers_; }
  /// Returns how many of these have joined.
  std::size_t joined() const;
  /// Returns how many workers were ever spawned.
  std::uint64_t spawned() const { return spawned_; }
  WorkerTraffic& traffic() { return traffic_; }
  const WorkerTraffic& traffic() const { return traffic_; }

 private:
  /// Adds a worker, whatever its origin.
  void take_in(const Worker& worker);
  /// Waits for the end of a worker that was spawned.
  Task<void> run_spawned(Worker worker);
  /// Waits until the leader of the worker has ended. The worker must outlive the task.
  Task<void> leader_end(SupervisedWorker& worker);
  /// Waits until a worker that has joined is gone.
  Task<void> run_joined(Worker worker, Fd process);
  /// Tells the worker when its process has ended, until `gone` is cancelled.
  static Task<void> watch_process(WorkerRoster& roster, Worker worker, Fd process,
                                  std::shared_ptr<Cancellation> gone);
  static Task<bool> has_ended(Reactor& reactor, int process);
  /// Waits until the worker is over, receives what it has sent, and forgets it.
  Task<void> receive_rest_and_end(Worker worker);
  /// Asks all workers in each quarter of the hang time-out whether they answer.
  Task<void> watch_answers(Duration quarter);
  void judge_answers(AnswerWatch::Look look);
  /// Returns how workers that are spawned are told to leave.
  LeaveSignal leave_signal() const;

  Reactor& reactor_;
  AlarmClock& clock_;
  PassMode& mode_;
  std::shared_ptr<Custody> custody_;
  SpawnWorker spawn_;
  Handshake handshake_;
  LimitedLine report_joined_left_;
  LimitedLine report_joined_trouble_;
  LimitedLine report_unwatched_;  ///< reports of workers whose end epoll cannot report
  WorkerTraffic traffic_;
  WorkerContext context_;
  std::vector<Worker> workers_;
  std::uint64_t last_incarnation_ = 0;
  std::uint64_t spawned_ = 0;
};

}  // namespace handoff

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

struct SupervisorOptions {
  std::vector<std::string> command;  ///< what every worker executes; empty: workers only join
  Handshake handshake = Handshake::full;
  Duration ready_timeout = std::chrono::seconds(10);
  Duration drain_timeout = std::chrono::seconds(30);
  Duration hang_timeout = limits::kHangTimeout;  ///< 0: a worker may hang
  Duration backoff_min = std::chrono::milliseconds(100);
  Duration backoff_max = std::chrono::seconds(10);
};

/// The workers that there are: spawns them, takes in those that join, waits for the end of each,
/// and finds those that hang. What a worker is for, and what follows it, its listener decides.
class WorkerRoster {
 public:
  using Worker = std::shared_ptr<SupervisedWorker>;

  /// `has_room` is called when a worker has room again. The references must outlive the roster.
  WorkerRoster(Reactor& reactor, AlarmClock& clock, PassMode& mode, Balancer& balancer,
               std::shared_ptr<Custody> custody, SpawnWorker spawn,
               const SupervisorOptions& options, Report report, WorkerListener& listener,
               std::function<void()> has_room);
  WorkerRoster(const WorkerRoster&) = delete;
  WorkerRoster& operator=(const WorkerRoster&) = delete;

  /// Starts a worker. Throws SystemError when the program can't be executed.
  Worker spawn(int number);
  /// A worker has joined, by this channel. Refused when there are kMaxJoined already.
  void adopt(int number, Fd channel);
  static constexpr std::size_t kMaxJoined = 1024;
  /// To be called when a child of this process has ended.
  void child_ended();

  /// See KeptConnections.
  void drop_touched_luggage();

  /// All that have not ended, as they came.
  const std::vector<Worker>& workers() const { return workers_; }
  /// Of these, those that have joined.
  std::size_t joined() const;
  /// Workers that were ever spawned.
  std::uint64_t spawned() const { return spawned_; }
  WorkerTraffic& traffic() { return traffic_; }
  const WorkerTraffic& traffic() const { return traffic_; }

 private:
  void take_in(const Worker& worker);
  Task<void> run_spawned(Worker worker);
  Task<void> leader_end(SupervisedWorker& worker);
  Task<void> run_joined(Worker worker, Fd process);
  static Task<void> watch_process(WorkerRoster& roster, Worker worker, Fd process,
                                  std::shared_ptr<Cancellation> gone);
  static Task<bool> has_ended(Reactor& reactor, int process);
  Task<void> receive_rest_and_end(Worker worker);
  Task<void> watch_answers(Duration quarter);
  void judge_answers(AnswerWatch::Look look);
  LeaveSignal leave_signal() const;

  Reactor& reactor_;
  AlarmClock& clock_;
  PassMode& mode_;
  std::shared_ptr<Custody> custody_;
  SpawnWorker spawn_;
  Handshake handshake_;
  LimitedLine report_joined_left_;
  LimitedLine report_joined_trouble_;
  LimitedLine report_unwatched_;  ///< of workers whose end epoll can't report
  WorkerTraffic traffic_;
  WorkerContext context_;
  std::vector<Worker> workers_;
  std::uint64_t last_incarnation_ = 0;
  std::uint64_t spawned_ = 0;
};

}  // namespace handoff

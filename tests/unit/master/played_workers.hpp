// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>

#include "master/balancer.hpp"
#include "master/custody.hpp"
#include "master/supervised_worker.hpp"
#include "master/worker_traffic.hpp"
#include "os/socket.hpp"
#include "worker_fakes.hpp"

namespace handoff::test {

/// Makes workers for tests of what keeps account of them; the test plays their processes.
class PlayedWorkers final : private WorkerListener {
 public:
  using Worker = std::shared_ptr<SupervisedWorker>;

  PlayedWorkers() = default;
  PlayedWorkers(const PlayedWorkers&) = delete;
  PlayedWorkers& operator=(const PlayedWorkers&) = delete;

  Worker make(int number) {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    auto process = std::make_shared<PlayedProcess>();
    process->pid = 1000 + static_cast<pid_t>(processes_.size());
    process->channel = std::move(theirs);
    auto link =
        std::make_shared<WorkerChannel>(reactor, traffic.life_events(), traffic.traffic_events(),
                                        custody, Handshake::full, number, std::move(ours));
    auto worker = std::make_shared<SupervisedWorker>(
        context_, WorkerId{number, ++last_}, std::move(link),
        std::make_unique<PlayedWorker>(process), LeaveSignal::message);
    traffic.add(*worker);
    processes_.emplace(worker.get(), process);
    workers_.push_back(worker);
    return worker;
  }
  /// The worker ends by itself.
  void end(SupervisedWorker& worker, ExitStatus status) {
    processes_.at(&worker)->end(status);
    worker.leader_ended();
    worker.end();
  }
  /// What the process of a worker was sent: TERM, KILL.
  const std::vector<std::string>& told(const SupervisedWorker& worker) const {
    return processes_.at(&worker)->told;
  }

  Reactor reactor;
  ManualClock clock;
  RecordingMode mode;
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 1);
  Balancer balancer{Balance::round_robin};
  std::vector<std::string> lines;  ///< of the log
  Report report = [this](Severity, std::string_view line) { lines.emplace_back(line); };
  WorkerTraffic traffic{reactor, clock, balancer, report, [] {}};

 private:
  void worker_ready(SupervisedWorker&) override {}
  void worker_asks_to_leave(SupervisedWorker&) override {}
  void worker_ended(SupervisedWorker&) override {}

  WorkerContext context_{
      reactor,
      clock,
      mode,
      static_cast<WorkerListener&>(*this),
      std::chrono::seconds(10),
      std::chrono::seconds(30),
      std::chrono::seconds(60),
      report,
      [this](std::string_view line) { lines.emplace_back(line); },
      [this](std::string_view line) { lines.emplace_back(line); },
  };
  std::unordered_map<const SupervisedWorker*, std::shared_ptr<PlayedProcess>> processes_;
  std::vector<Worker> workers_;
  std::uint64_t last_ = 0;
};

}  // namespace handoff::test

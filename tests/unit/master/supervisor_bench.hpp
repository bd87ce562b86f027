// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/os/fd.hpp>

#include "master/balancer.hpp"
#include "master/custody.hpp"
#include "master/supervisor.hpp"
#include "os/socket.hpp"
#include "os/status.hpp"
#include "worker_fakes.hpp"

namespace handoff::test {

/// A supervisor, and everything around it, played by the test.
class SupervisorBench {
 public:
  explicit SupervisorBench(const SupervisorOptions& options = {})
      : supervisor(
            reactor, clock, mode, balancer, custody, spawner.function(), options,
            [this](Severity, std::string_view line) { lines.emplace_back(line); }, [] {}, [] {}) {}

  /// Everything that is under way goes on until it waits for the test.
  Task<void> settle() {
    for (int i = 0; i < 12; ++i) { co_await reactor.yield(); }
  }
  /// Adds workers, and has them serve.
  Task<void> serve(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) { supervisor.add(); }
    co_await settle();
    for (std::size_t i = 0; i < count; ++i) { process(i).say_ready(); }
    co_await settle();
    CHECK(supervisor.all_started());
  }
  /// Asks for a reload or a replacement; its outcome is added to `outcomes`.
  void ask(Task<Status> task) {
    reactor.spawn([](SupervisorBench& bench, Task<Status> asked) -> Task<void> {
      Status outcome = co_await std::move(asked);
      bench.outcomes.push_back(outcome.is_ok() ? "ok" : outcome.why());
    }(*this, std::move(task)));
  }
  Task<void> end(std::size_t index, ExitStatus status = {}) {
    process(index).end(status);
    co_await settle();
  }
  /// The process that was started as the first, the second, ...
  PlayedProcess& process(std::size_t index) { return *spawner.processes.at(index); }
  std::size_t started() const { return spawner.processes.size(); }
  /// The state of each worker, by its number: "1 ready, 2 starting".
  std::string states() const {
    std::string text;
    for (const WorkerStatus& worker : supervisor.status()) {
      if (!text.empty()) { text += ", "; }
      text += std::to_string(worker.number) + " " + name_of(worker.state);
    }
    return text;
  }
  bool was_told(const std::string& what) const {
    return std::find(mode.told.begin(), mode.told.end(), what) != mode.told.end();
  }

  Reactor reactor;
  ManualClock clock;
  RecordingMode mode;
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 1);
  Balancer balancer{Balance::round_robin};
  PlayedSpawner spawner;
  std::vector<std::string> lines;  ///< of the log
  std::vector<std::string> outcomes;
  Supervisor supervisor;
};

/// Runs a test of a bench inside its reactor.
inline void play(SupervisorBench& bench, Task<void> (*test)(SupervisorBench&)) {
  bench.reactor.run(test(bench));
}

/// A worker that has joined.
class Joined {
 public:
  explicit Joined(SupervisorBench& bench, int type = SOCK_SEQPACKET) {
    auto [ours, theirs] = make_socket_pair(type);
    process_.channel = std::move(theirs);
    bench.supervisor.adopt(std::move(ours));
  }
  PlayedProcess* operator->() { return &process_; }

 private:
  PlayedProcess process_;
};

}  // namespace handoff::test

// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "master/balancer.hpp"
#include "master/custody.hpp"
#include "master/supervised_worker.hpp"
#include "master/worker_traffic.hpp"
#include "os/socket.hpp"
#include "worker_fakes.hpp"

namespace handoff::test {

enum class Kind { spawned, joined, without_handshake };

inline const char* name_of(WorkerPhase phase) {
  switch (phase) {
    case WorkerPhase::starting: return "starting";
    case WorkerPhase::standby: return "standby";
    case WorkerPhase::serving: return "serving";
    case WorkerPhase::draining: return "draining";
    case WorkerPhase::killed: return "killed";
    case WorkerPhase::ended: return "ended";
  }
  return "";
}

/// One worker, and everything that it tells others of.
class WorkerBench final : private WorkerListener {
 public:
  explicit WorkerBench(Kind kind = Kind::spawned) {
    const bool plain = kind == Kind::without_handshake;
    auto [ours, theirs] = make_socket_pair(plain ? SOCK_STREAM : SOCK_SEQPACKET);
    process->pid = 4711;
    process->channel = std::move(theirs);
    auto link = std::make_shared<WorkerChannel>(
        reactor, traffic_.life_events(), traffic_.traffic_events(), custody,
        plain ? Handshake::none : Handshake::full, 1, std::move(ours),
        kind == Kind::joined ? WorkerOrigin::joined : WorkerOrigin::spawned);
    if (kind == Kind::joined) {
      worker = std::make_shared<SupervisedWorker>(context_, WorkerId{1, 1}, link, 4711);
    } else {
      worker = std::make_shared<SupervisedWorker>(
          context_, WorkerId{1, 1}, link, std::make_unique<PlayedWorker>(process),
          plain ? LeaveSignal::message_and_term : LeaveSignal::message);
    }
    traffic_.add(*worker);
  }
  WorkerBench(const WorkerBench&) = delete;
  WorkerBench& operator=(const WorkerBench&) = delete;
  ~WorkerBench() { traffic_.remove(*worker); }

  void reach(WorkerPhase phase) {
    if (phase == WorkerPhase::starting) { return; }
    if (phase == WorkerPhase::killed || phase == WorkerPhase::ended) {
      reach(WorkerPhase::serving);
      worker->kill(LeaveReason::overdue);
      if (phase == WorkerPhase::ended) { worker->end(); }
      return;
    }
    worker->ready();
    if (phase != WorkerPhase::standby) { worker->serve(); }
    if (phase == WorkerPhase::draining) { worker->drain(LeaveReason::reload); }
  }

  /// The phase, and everything that was said and done since the last call: "killed: left, KILL".
  std::string happened() {
    std::string text = name_of(worker->phase());
    std::vector<std::string> all;
    for (std::string& told : std::exchange(mode.told, {})) {
      all.push_back(told.substr(0, told.find(' ')));
    }
    for (std::string& told : std::exchange(listened_, {})) { all.push_back(std::move(told)); }
    for (std::string& told : std::exchange(process->told, {})) { all.push_back(std::move(told)); }
    for (std::string& told : messages()) { all.push_back(std::move(told)); }
    if (worker->over().is_set() && !std::exchange(was_over_, true)) { all.emplace_back("over"); }
    for (std::size_t i = 0; i < all.size(); ++i) { text += (i == 0 ? ": " : ", ") + all[i]; }
    return text;
  }

  /// How long it has for what it does; 0 if it has no deadline.
  long limit() const { return static_cast<long>(clock.next() / std::chrono::seconds(1)); }

  Reactor reactor;
  ManualClock clock;
  RecordingMode mode;
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 1);
  Balancer balancer{Balance::round_robin};
  std::vector<std::string> lines;  ///< of the log
  std::shared_ptr<PlayedProcess> process = std::make_shared<PlayedProcess>();

 private:
  void worker_ready(SupervisedWorker&) override { listened_.emplace_back("may serve"); }
  void worker_asks_to_leave(SupervisedWorker&) override { listened_.emplace_back("asks"); }
  void worker_ended(SupervisedWorker&) override {}

  /// What the worker is told on its channel.
  std::vector<std::string> messages() const {
    std::vector<std::string> all;
    std::array<char, 1024> packet{};
    for (;;) {
      const ssize_t size = recv(process->channel.get(), packet.data(), packet.size(), MSG_DONTWAIT);
      if (size <= 0) { return all; }
      const auto message = channel::decode({packet.data(), static_cast<std::size_t>(size)});
      REQUIRE(message);
      if (message->type == channel::Type::drain) {
        all.emplace_back(message->drain.give_back ? "DRAIN" : "DRAIN and close");
      } else {
        all.emplace_back("a question");
      }
    }
  }

  Report report_ = [this](Severity, std::string_view line) { lines.emplace_back(line); };
  WorkerTraffic traffic_{reactor, clock, balancer, report_, [] {}};
  WorkerContext context_{
      reactor,
      clock,
      mode,
      static_cast<WorkerListener&>(*this),
      std::chrono::seconds(10),
      std::chrono::seconds(30),
      std::chrono::seconds(60),
      report_,
      [this](std::string_view line) { lines.emplace_back(line); },
      [this](std::string_view line) { lines.emplace_back(line); },
  };
  std::vector<std::string> listened_;
  bool was_over_ = false;

 public:
  std::shared_ptr<SupervisedWorker> worker;
};

inline constexpr std::array kPhases{WorkerPhase::starting, WorkerPhase::standby,
                                    WorkerPhase::serving,  WorkerPhase::draining,
                                    WorkerPhase::killed,   WorkerPhase::ended};

inline void close_channel(WorkerBench& bench) {
  bench.worker->link()->end();
  bench.worker->channel_closed();
}

inline void leader_ends_alone(WorkerBench& bench) {
  bench.process->end();
  bench.worker->leader_ended();
}

inline void leader_ends_among_others(WorkerBench& bench) {
  bench.process->others = 1;
  bench.process->end();
  bench.worker->leader_ended();
}

}  // namespace handoff::test

// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <handoff/async/reactor.hpp>

#include "master/request_queue.hpp"
#include "master/supervisor.hpp"
#include "os/status.hpp"
#include "pass/ledger.hpp"
#include "pass/method_totals.hpp"

namespace handoff {

/// What a master does, as `status` shows it.
enum class MasterState { starting, ready, reloading, upgrading, stopping };

/// A snapshot of a master, for `status` and `metrics`.
struct MasterStatus {
  MasterState state = MasterState::starting;
  std::string pass;
  std::string balance;  ///< empty if the master chooses no worker
  std::vector<std::string> listeners;
  Duration age{};
  std::size_t connections = 0;  ///< connections that the workers have or that are on their way
  std::size_t waiting = 0;      ///< connections that wait for a worker with room
  std::uint64_t accepted = 0;   ///< connections that were ever accepted
  std::uint64_t reloads = 0;    ///< reloads that were done
  Status last_reload = Status::ok();    ///< whether the last reload was done, if there was one
  Status last_upgrade = Status::ok();   ///< whether the last upgrade was done, if there was one
  std::optional<Queue::Counts> queue;   ///< set with --pass queue
  ledger::Totals totals;                ///< including workers that have ended
  ledger::MethodTotals methods;         ///< the workers' counters by method, including former ones
  RescueCounts rescued;                 ///< connections of workers that have died
  std::uint64_t lost = 0;               ///< connections that were closed because a worker had died,
                                        ///< or could not be passed
  std::map<int, FormerWorkers> former;  ///< workers that have ended, by their number
  std::vector<WorkerStatus> workers;
};

/// These return the results of the control methods `status` and `workers`: JSON, as rpc-master(1)
/// documents it.
std::string to_json_text(const MasterStatus& status);
std::string to_json_text(const std::vector<WorkerStatus>& workers);

}  // namespace handoff

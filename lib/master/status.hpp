// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "master/request_queue.hpp"
#include "master/supervisor.hpp"
#include "os/status.hpp"
#include "pass/ledger.hpp"

namespace handoff {

/// What a master does, as its `status` says it.
enum class MasterState { starting, ready, reloading, upgrading, stopping };

/// A snapshot of a master, for `status` and `metrics`.
struct MasterStatus {
  MasterState state = MasterState::starting;
  std::string pass;
  std::string balance;  ///< empty where nobody is chosen
  std::vector<std::string> listeners;
  Duration age{};
  std::size_t connections = 0;          ///< now, with the workers or on their way
  std::size_t waiting = 0;              ///< for a worker with room
  std::uint64_t accepted = 0;           ///< ever
  std::uint64_t reloads = 0;            ///< that were done
  Status last_reload = Status::ok();    ///< whether it was done, if there was any
  Status last_upgrade = Status::ok();   ///< the same
  std::optional<Queue::Counts> queue;   ///< with --pass queue
  ledger::Totals totals;                ///< those of workers that have ended included
  RescueCounts rescued;                 ///< connections of workers that have died
  std::uint64_t lost = 0;               ///< connections that were closed because a worker had died,
                                        ///< or could not be passed
  std::map<int, FormerWorkers> former;  ///< workers that have ended, by their number
  std::vector<WorkerStatus> workers;
};

/// The results of the control methods `status` and `workers`: JSON, as rpc-master(1) documents it.
std::string to_json_text(const MasterStatus& status);
std::string to_json_text(const std::vector<WorkerStatus>& workers);

}  // namespace handoff

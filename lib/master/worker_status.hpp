// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "async/reactor.hpp"
#include "pass/ledger.hpp"

namespace handoff {

/// What a worker does, as `status` and the log show it.
enum class WorkerState {
  starting,
  ready,
  draining,  ///< it was told to leave, or was given up
  pausing,   ///< no worker runs: the next one is started after a pause
};

/// Returns "starting", "ready", "draining" or "pausing".
const char* name_of(WorkerState state);

/// A snapshot of one worker, for `status` and `metrics`.
struct WorkerStatus {
  int number = 0;
  pid_t pid = 0;  ///< 0 if none runs, or if it is in another PID namespace
  WorkerState state = WorkerState::starting;
  bool joined = false;
  std::size_t connections = 0;  ///< connections that it has now
  std::uint64_t passed = 0;     ///< connections that it was ever given
  ledger::Totals totals;        ///< its counters
  unsigned restarts = 0;        ///< restarts of workers in its slot
  Duration age{};
  std::string last_exit;  ///< how its predecessor ended; empty if none has
};

/// Returns "worker 1, pid 4711: ready, 3 connections, 0 restarts".
std::string describe(const WorkerStatus& worker);

}  // namespace handoff

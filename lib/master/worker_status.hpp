// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "async/reactor.hpp"
#include "pass/ledger.hpp"

namespace handoff {

/// What a worker does, as `status` and the log tell it.
enum class WorkerState {
  starting,
  ready,
  draining,  ///< it was told to leave, or is given up
  pausing,   ///< none runs: the next one is started after a pause
};

/// "starting", "ready", "draining" or "pausing".
const char* name_of(WorkerState state);

/// A snapshot of one worker, for `status` and `metrics`.
struct WorkerStatus {
  int number = 0;
  pid_t pid = 0;  ///< 0 while none runs, or when it runs in another PID namespace
  WorkerState state = WorkerState::starting;
  bool joined = false;
  std::size_t connections = 0;  ///< that it has now
  std::uint64_t passed = 0;     ///< connections that it was ever given
  ledger::Totals totals;        ///< what its counters say
  unsigned restarts = 0;        ///< of workers in its slot
  Duration age{};
  std::string last_exit;  ///< how its predecessor ended; empty if none has
};

/// "worker 1, pid 4711: ready, 3 connections, 0 restarts".
std::string describe(const WorkerStatus& worker);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "master/worker_status.hpp"

#include <fmt/format.h>

#include "os/log.hpp"

namespace handoff {

const char* name_of(WorkerState state) {
  switch (state) {
    case WorkerState::starting: return "starting";
    case WorkerState::ready: return "ready";
    case WorkerState::draining: return "draining";
    case WorkerState::pausing: return "pausing";
  }
  return "";
}

std::string describe(const WorkerStatus& worker) {
  const std::string pid = worker.pid > 0 ? fmt::format(", pid {}", worker.pid) : "";
  return fmt::format("worker {}{}: {}, {}, {}", worker.number, pid, name_of(worker.state),
                     counted(worker.connections, "connection"),
                     counted(worker.restarts, "restart"));
}

}  // namespace handoff

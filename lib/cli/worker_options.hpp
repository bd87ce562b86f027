// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "cli/tool.hpp"
#include "methods/child_runner.hpp"
#include "os/address.hpp"
#include "worker/worker.hpp"

namespace handoff {

/// What the command line of a worker says.
struct WorkerToolOptions {
  std::vector<Address> listen;
  bool stdio = false;
  std::optional<Address> join;
  Duration wait{};  ///< for the master that is joined
  std::vector<std::string> methods;
  std::vector<std::string> coprocesses;
  std::vector<std::string> services;
  std::size_t pool = 1;
  std::vector<std::string> directories;
  std::vector<std::string> forwards;
  ProcessOptions process;
  WorkerOptions worker;
};

/// The channel that a master has named in the environment, or -1. Throws InvalidArgument.
int channel_number();

/// The options of rpc-worker, and of every worker that worker_main() runs. Throws InvalidArgument.
WorkerToolOptions parse_worker_options(Tool& tool);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>

#include "cli/tool.hpp"
#include "methods/child_runner.hpp"
#include "worker/worker.hpp"

namespace handoff {

/// The command line of a worker; rpc-worker(1) says more about the options.
struct WorkerToolOptions {
  std::vector<Address> listen;
  bool stdio = false;
  std::optional<Address> join;
  Duration wait{};  ///< how long to wait for the master that is joined
  std::vector<std::string> methods;
  std::vector<std::string> coprocesses;
  std::vector<std::string> services;
  std::size_t pool = 1;
  std::vector<std::string> directories;
  std::vector<std::string> forwards;
  ProcessOptions process;
  WorkerOptions worker;
};

/// Returns the descriptor of the channel that a master has named in the environment, or -1. Throws
/// InvalidArgument if the variable is not a number.
int channel_number();

/// Returns the number that a master has given to this worker in the environment, or nothing.
std::optional<int> worker_number();

/// Parses the options of rpc-worker, and of every worker that worker_main() runs. Throws
/// InvalidArgument, and what Tool::parse() throws.
WorkerToolOptions parse_worker_options(Tool& tool);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "rpc/handlers.hpp"

namespace handoff {

/// How the commands behind methods are run.
struct CommandOptions {
  std::vector<std::string> environment_names;  ///< handed to commands besides the usual few
  bool text = false;                           ///< output that is no JSON becomes a string
  std::size_t max_output = 1024 * 1024;        ///< of stdout; more is an error
};

/// A method that runs `sh -c COMMAND` for each call: params on stdin (a sealed file), result on
/// stdout, the rest of the call in RPC_METHOD, RPC_PEER and RPC_ID.
///
/// The command gets descriptors 0 to 2, a short environment, a process group of its own and no new
/// privileges. It is over when the shell ends: what is left of its group is killed then, or at the
/// call's deadline. No output is the result null.
Handler make_command_handler(Reactor& reactor, std::string command, CommandOptions options);

}  // namespace handoff

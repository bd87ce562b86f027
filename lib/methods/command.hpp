// SPDX-License-Identifier: MIT
#pragma once

#include <handoff/async/reactor.hpp>
#include <handoff/rpc/method_table.hpp>

#include "methods/child_runner.hpp"

namespace handoff {

/// Returns a handler that runs the program for each call. The program gets the params on its stdin
/// or, if the runner's options say so, as further arguments (a shell gets the method's name before
/// them), and RPC_METHOD, RPC_PEER and RPC_ID in its environment; its stdout becomes the result,
/// null if it is empty. Params that cannot be arguments are an error (ErrorCode::invalid_params),
/// and so is output of more than ProcessOptions::max_output bytes.
///
/// The call is over when the process ends, at its deadline, or when it is dropped; what is left of
/// the process and of everything that it has started is then killed. A running call does not block
/// the reactor, except while its process is started and killed. The reactor and the runner must
/// outlive the handler.
Handler command_handler(Reactor& reactor, ChildRunner& runner, Program program);

}  // namespace handoff

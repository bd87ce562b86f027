// SPDX-License-Identifier: MIT
#pragma once

#include <handoff/async/reactor.hpp>
#include <handoff/rpc/method_table.hpp>

#include "methods/child_runner.hpp"

namespace handoff {

/// Returns a handler that runs the program for each call: the params on its stdin or, as the
/// options of the runner say, as further arguments, of which a shell gets the method's name first;
/// the result from its stdout, RPC_METHOD, RPC_PEER and RPC_ID in its environment. Params that
/// can't be arguments are an error, ErrorCode::invalid_params. A program without output gives the
/// result null. A result is at most ProcessOptions::max_output bytes long.
///
/// The call is over when the process ends, at its deadline, or when the call is dropped; what is
/// left of the process and of what it has started is killed then. A call that runs does not block
/// the reactor, except while its process is started and killed. The reactor and the runner must
/// outlive the handler.
Handler command_handler(Reactor& reactor, ChildRunner& runner, Program program);

}  // namespace handoff

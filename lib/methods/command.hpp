// SPDX-License-Identifier: MIT
#pragma once

#include "async/reactor.hpp"
#include "methods/child_runner.hpp"
#include "rpc/method_table.hpp"

namespace handoff {

/// A handler that runs the program for each call: the params on its stdin or, as the options of the
/// runner say, as further arguments, of which a shell gets the method's name first; the result from
/// its stdout, RPC_METHOD, RPC_PEER and RPC_ID in its environment. No output is the result null.
/// Params that can't be arguments are an error, ErrorCode::invalid_params.
///
/// The call is over when the process ends, at its deadline, or when it is dropped; what is left of
/// the process is killed then. Both references must outlive the handler.
Handler command_handler(Reactor& reactor, ChildRunner& runner, Program program);

}  // namespace handoff

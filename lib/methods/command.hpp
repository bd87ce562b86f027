// SPDX-License-Identifier: MIT
#pragma once

#include "async/reactor.hpp"
#include "methods/child_runner.hpp"
#include "rpc/method_table.hpp"

namespace handoff {

/// A handler that runs the program for each call: the params on its stdin, the result from its
/// stdout, RPC_METHOD, RPC_PEER and RPC_ID in its environment. No output is the result null.
///
/// The call is over when the process ends, at its deadline, or when it is dropped; what is left of
/// the process is killed then. Both references must outlive the handler.
Handler command_handler(Reactor& reactor, Processes& processes, Program program);

/// What a handler's whole output is as a result: JSON, or with `text` any string. An error says
/// what is wrong with it, and calls it `what`.
Result result_of_output(std::string output, bool text, std::string_view what);

/// The error of a process that failed: how it ended, and in `data` the end of its stderr too.
Result failure_of_process(const ExitStatus& status, const std::string& error_tail);

/// {"stderr": ...}, or nothing when there is none.
std::string stderr_data(const std::string& error_tail);

/// How much of the end of stderr an error carries.
inline constexpr std::size_t kStderrTail = 2048;

}  // namespace handoff

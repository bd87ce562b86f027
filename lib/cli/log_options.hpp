// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "cli/log_relay.hpp"
#include "cli/tool.hpp"
#include "rpc/call_log.hpp"

/// The options of servers that tell what their log has.
namespace handoff {

/// Adds --log-calls; see make_call_log().
void add_log_calls(Tool& tool);
/// Adds --log-time, which makes the tool's log begin its lines with the local time.
void add_log_time(Tool& tool);

/// Returns a log of all calls with --log-calls, one of the failed calls with --verbose, and null
/// otherwise. The tool and the relay must outlive it.
std::unique_ptr<const CallLog> make_call_log(Tool& tool, LogRelay& relay);

}  // namespace handoff

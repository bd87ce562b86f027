// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include "cli/exit_status.hpp"
#include "cli/tool.hpp"

namespace handoff {

/// The only catch-all: runs `run` and turns whatever leaves it into one line on stderr,
/// "tool: cannot listen on 127.0.0.1:80: why (remedy)", and an exit status of the table.
int tool_main(const char* name, int argc, char** argv, const std::function<ExitCode(Tool&)>& run);

}  // namespace handoff

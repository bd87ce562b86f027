// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include "cli/exit_status.hpp"
#include "cli/tool.hpp"

namespace handoff {

/// The main function of every tool. Runs `run`, and turns each exception that leaves it into one
/// line on stderr, "tool: cannot listen on 127.0.0.1:80: why (remedy)", and into an exit status of
/// ExitCode, which it returns. It prints --help, --version and completion scripts. No other
/// function turns exceptions into exit statuses.
int tool_main(const char* name, int argc, char** argv, const std::function<ExitCode(Tool&)>& run);

}  // namespace handoff

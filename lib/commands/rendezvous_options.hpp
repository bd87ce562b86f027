// SPDX-License-Identifier: MIT
#pragma once

#include "cli/tool.hpp"
#include "commands/rendezvous.hpp"

namespace handoff {

/// -t/--timeout, --mode and --allow-uid of fdsend and fdrecv.
void add_exchange_options(Tool& tool, ExchangeOptions& options);

}  // namespace handoff

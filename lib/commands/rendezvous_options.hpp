// SPDX-License-Identifier: MIT
#pragma once

#include "cli/tool.hpp"
#include "commands/rendezvous.hpp"

namespace handoff {

/// -t/--timeout, --mode and --allow-uid of fdsend and fdrecv.
void add_rendezvous_options(Tool& tool, RendezvousOptions& options);

}  // namespace handoff

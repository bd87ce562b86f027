// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "master/master_options.hpp"

namespace handoff {

/// What a master would do, in sentences for a log.
struct DryRun {
  std::vector<std::string> in_use;  ///< what the server that runs may have, or another program
  std::string summary;
};

/// Does what a master does before it starts its first worker, in the same order, but opens, binds,
/// starts and changes nothing. Throws what Master, or its first worker's start, would throw; what
/// is in use is no failure here, because it may belong to the server whose next start is checked.
/// Blocks while names are looked up.
DryRun dry_run(const MasterOptions& options);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace handoff {

/// Our own environment, without the variables that are addressed to us alone (the service
/// manager's and those that name inherited descriptors).
std::vector<std::string> inherited_environment();

}  // namespace handoff

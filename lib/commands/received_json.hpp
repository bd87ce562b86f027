// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "pass/handover_receiver.hpp"

namespace handoff {

/// What `fdrecv --json` prints: a line of JSON for each descriptor, which says what it is.
std::string lines_about(const Received& received);

}  // namespace handoff

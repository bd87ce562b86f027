// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "pass/handover_receiver.hpp"

namespace handoff {

/// Returns what `fdrecv --json` prints: for each descriptor a line of JSON that says what it is,
/// ended by a newline. The descriptors are only looked at.
///
///     {"name":"http","type":"tcp","local":"127.0.0.1:80","listening":true}
std::string lines_about(const Received& received);

}  // namespace handoff

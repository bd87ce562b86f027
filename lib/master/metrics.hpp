// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "master/status.hpp"

namespace handoff {

/// Returns the result of the control method `metrics`: Prometheus' text format, version 0.0.4.
std::string to_metrics(const MasterStatus& status);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "async/reactor.hpp"

namespace handoff {

/// Draws the result of a master's `status` as a table: two lines about the master, and a line for
/// each worker. Rates and the 99th percentile are those since `before`, an earlier result, which is
/// `since` old; without one (empty) there are none. Returns nothing for JSON that is no such
/// result. No line ends the text.
std::optional<std::string> status_table(std::string_view now, std::string_view before,
                                        Duration since);

}  // namespace handoff

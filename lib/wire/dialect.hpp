// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace handoff {

/// Says which messages a body holds: handoff-wire(7), MESSAGES.
enum class Dialect : std::uint8_t {
  article,   ///< {"in":…} and {"out":…}
  json_rpc,  ///< JSON-RPC 2.0
};

}  // namespace handoff

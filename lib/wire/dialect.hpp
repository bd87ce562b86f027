// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace handoff {

/// The form of the messages in a frame's body. Each request says which one it has, and its reply
/// has the same form. handoff-wire(7), MESSAGES, describes both.
enum class Dialect : std::uint8_t {
  article,  ///< the project's own messages, {"in":…} and {"out":…}, named after the article that
            ///< they come from
  json_rpc,  ///< JSON-RPC 2.0
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "wire/framing.hpp"

namespace handoff {

/// Adds the member `"last": true` to the last reply in `frames`, which must be complete frames of
/// replies: no further reply follows on its connection; see handoff-wire(7), THE END OF A
/// CONNECTION. Does nothing if there is no frame, if the reply is a JSON-RPC one, or if its body
/// would exceed `max_frame` bytes.
void mark_last_reply(std::string& frames, Framing framing, std::uint32_t max_frame);

}  // namespace handoff

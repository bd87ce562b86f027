// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "wire/framing.hpp"

namespace handoff {

/// Adds the member `"last": true` to the last reply in `frames`, which are whole frames of replies:
/// its connection has no further one; see handoff-wire(7), THE END OF A CONNECTION. Does nothing if
/// there is no frame, if the reply is not of the article's dialect, or if its body would exceed
/// `max_frame` bytes.
void mark_last_reply(std::string& frames, Framing framing, std::uint32_t max_frame);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <handoff/rpc/call.hpp>

#include "wire/reply.hpp"

namespace handoff {

/// Returns the error that an error reply stands for. It always has a code and a message, even if
/// the reply has none. `reply` must be an error.
Result error_of_reply(const Reply& reply);

}  // namespace handoff

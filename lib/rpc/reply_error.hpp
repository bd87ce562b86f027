// SPDX-License-Identifier: MIT
#pragma once

#include <handoff/rpc/call.hpp>

#include "wire/reply.hpp"

namespace handoff {

/// The error that an error reply stands for, with a code and a message in any case.
Result error_of_reply(const Reply& reply);

}  // namespace handoff

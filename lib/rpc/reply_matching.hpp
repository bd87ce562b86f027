// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include <handoff/wire/dialect.hpp>

#include "wire/reply.hpp"

namespace handoff {

/// The numbers of the calls on one connection that wait for their replies. In JSON-RPC, the number
/// of a call is also its id.
struct WaitingCalls {
  std::uint64_t first;
  std::uint64_t last;
};

/// Returns the number of the call that a reply answers: without ids, the first one; with the ids of
/// JSON-RPC, the one that has the reply's id. A JSON-RPC error that names no call is taken for the
/// answer to the first one.
///
/// Throws ProtocolError, with `server` in its text, if the reply fits none of the calls.
std::uint64_t call_answered_by(const Reply& reply, Dialect dialect, WaitingCalls calls,
                               std::string_view server);

}  // namespace handoff

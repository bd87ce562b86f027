// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include <handoff/wire/dialect.hpp>

#include "wire/reply.hpp"

namespace handoff {

/// Calls on one connection that wait for their replies: their numbers, which are also their ids in
/// JSON-RPC.
struct WaitingCalls {
  std::uint64_t first;
  std::uint64_t last;
};

/// Returns the number of the call that a reply answers. Without ids, that is the first one; with
/// the ids of JSON-RPC, the one whose id the reply has. An error of JSON-RPC that names no call is
/// taken for the first one.
///
/// Throws ProtocolError, naming `server`, when the reply fits none of the calls, for then it is the
/// answer to something else.
std::uint64_t call_answered_by(const Reply& reply, Dialect dialect, WaitingCalls calls,
                               std::string_view server);

}  // namespace handoff

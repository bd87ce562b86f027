// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>

namespace handoff {

/// The codes of error replies: those of JSON-RPC 2.0, section 5.1, and handoff's own from -32001
/// downwards, which handoff-wire(7) documents.
enum class ErrorCode : int {
  parse_error = -32700,
  invalid_request = -32600,
  method_not_found = -32601,
  invalid_params = -32602,
  internal_error = -32603,
  handler_failed = -32001,
  timed_out = -32002,
  busy = -32003,
  worker_died = -32004,
  shutting_down = -32005,
  unreachable = -32006,
};

/// Thrown when the peer has sent bytes that the protocol does not allow. The connection on which
/// they arrived cannot be used any further.
class ProtocolError : public std::runtime_error {
  using runtime_error::runtime_error;
};

}  // namespace handoff

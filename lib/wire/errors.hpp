// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>

namespace handoff {

/// The codes of error replies: those of JSON-RPC 2.0, and ours below -32000 (handoff-wire(7)).
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

/// The peer sent what the protocol does not allow.
class ProtocolError : public std::runtime_error {
  using runtime_error::runtime_error;
};

}  // namespace handoff

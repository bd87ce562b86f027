// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>

namespace handoff {

/// The codes of error replies: those of JSON-RPC 2.0, section 5.1, and handoff's own from -32001
/// downwards, which handoff-wire(7) documents.
enum class ErrorCode : int {
  parse_error = -32700,       ///< the body is not JSON
  invalid_request = -32600,   ///< the body is JSON, but no request
  method_not_found = -32601,  ///< the server has no method of this name
  invalid_params = -32602,    ///< the method can't use these params
  internal_error = -32603,    ///< the method has thrown an exception
  handler_failed = -32001,    ///< the method's program has failed, or gave no JSON
  timed_out = -32002,         ///< the call has taken longer than the server's --timeout
  busy = -32003,              ///< the server has too much to do, and did not run the call
  worker_died = -32004,       ///< the worker ended during the call, which may have run in part
  shutting_down = -32005,     ///< the server ends, and did not run the call
  unreachable = -32006,       ///< the server passes calls on, and reaches nobody
};

/// Thrown when the peer has sent bytes that the protocol does not allow. The connection on which
/// they arrived cannot be used any further.
class ProtocolError : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// A server has ended a connection before it had replied to a call. The call may have run.
class ConnectionLost : public ProtocolError {
  using ProtocolError::ProtocolError;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>

#include "pass/channel.hpp"
#include "pass/connection.hpp"
#include "rpc/client_address.hpp"
#include "rpc/server_context.hpp"
#include "rpc/session_input.hpp"
#include "rpc/session_output.hpp"

namespace handoff {

/// The parts of a new session. Everything that can fail for want of memory happens here, so that
/// making the session itself cannot fail.
struct SessionOpening {
  /// Takes over the connection. Throws std::bad_alloc.
  SessionOpening(ServerContext& of, Connection opened);

  /// Returns whether the worker has accepted the connection itself, and the master could take it
  /// over.
  bool is_to_be_deposited() const {
    return (connection.id & channel::kOwnId) != 0 && connection.entry != nullptr;
  }

  ServerContext& context;
  Connection connection;                ///< use `unread` for its unread bytes
  std::unique_ptr<UnusedBytes> unread;  ///< null: there are none
  SessionOutput owed;                   ///< has the reply that is still to be written to the client
  ClientAddress client;
  /// The value of ServerContext::abandonments() when the connection was opened.
  std::uint32_t abandonments;
};

}  // namespace handoff

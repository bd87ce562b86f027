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

/// What a session is made of. All that may fail for want of memory has been done, so that making
/// the session can't.
struct SessionOpening {
  SessionOpening(ServerContext& of, Connection opened);

  /// Whether the worker has accepted it itself, and the master could take it over.
  bool is_to_be_deposited() const {
    return (connection.id & channel::kOwnId) != 0 && connection.entry != nullptr;
  }

  ServerContext& context;
  Connection connection;                ///< its unread bytes are in `unread`
  std::unique_ptr<UnusedBytes> unread;  ///< null when there are none
  SessionOutput owed;                   ///< holds the reply that the connection brings along
  ClientAddress client;
  std::uint32_t abandonments;  ///< ServerContext::abandonments() when it was opened
};

}  // namespace handoff

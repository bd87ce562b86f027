// SPDX-License-Identifier: MIT
#include "rpc/session_opening.hpp"

#include <utility>

namespace handoff {

SessionOpening::SessionOpening(ServerContext& of, Connection opened)
    : context(of),
      connection(std::move(opened)),
      client(connection.peer),
      abandonments(of.abandonments()) {
  owed.owe(connection.owed);
  if (connection.unread.empty()) { return; }
  unread = std::make_unique<UnusedBytes>(connection.unread.size());
  unread->buffer.append(connection.unread);
}

}  // namespace handoff

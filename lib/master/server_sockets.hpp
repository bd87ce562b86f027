// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <vector>

#include "os/listen_check.hpp"
#include "os/listener.hpp"

namespace handoff {

struct MasterOptions;

/// The sockets that a server has by name or address. It owns them.
struct ServerSockets {
  std::vector<Listener> listeners;  ///< for clients
  std::optional<Listener> join;     ///< for workers that join
  std::optional<Listener> control;
};

/// Binds every address of the options. Throws what listen_on() throws, and InvalidArgument if there
/// are more listeners than a worker can be passed; nothing is left in the file system then.
ServerSockets open_server_sockets(const MasterOptions& options);

/// The places where a server would have its sockets.
struct ServerSocketsCheck {
  std::vector<ListenCheck> listeners;
  std::optional<ListenCheck> join;
  std::optional<ListenCheck> control;
};

/// Throws what open_server_sockets() would throw, but for an address in use, and opens nothing.
ServerSocketsCheck check_server_sockets(const MasterOptions& options);

}  // namespace handoff

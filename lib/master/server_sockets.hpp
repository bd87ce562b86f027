// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <vector>

#include "os/listener.hpp"

namespace handoff {

struct MasterOptions;

/// The sockets that a server has by name or address.
struct ServerSockets {
  std::vector<Listener> listeners;  ///< for clients
  std::optional<Listener> join;     ///< for workers that join
  std::optional<Listener> control;
};

/// Binds every address of the options. Throws what listen_on() throws, and InvalidArgument when
/// there are more listeners than workers can be passed; then nothing is left behind.
ServerSockets open_server_sockets(const MasterOptions& options);

}  // namespace handoff

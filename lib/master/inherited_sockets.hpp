// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "master/server_sockets.hpp"
#include "os/fd.hpp"
#include "os/listener.hpp"

namespace handoff {

/// What a master leaves to its successor. All of it stays owned by the master.
struct SocketsToInherit {
  int channel = -1;  ///< the successor's end
  std::vector<const Listener*> listeners;
  const Listener* join = nullptr;
  const Listener* control = nullptr;
  int pidfile = -1;   ///< -1 if there is none
  int original = -1;  ///< to the original process; -1 if none stays
};

/// The JSON of HANDOFF_SUCCESSION, see handoff-wire(7), and the descriptors whose numbers in the
/// successor it says: (here, there).
struct EncodedSockets {
  std::string text;
  std::vector<std::pair<int, int>> descriptors;
};

/// The numbers begin with `first`.
EncodedSockets encode(const SocketsToInherit& sockets, int first);

/// What a master has from the one that it succeeds.
struct InheritedSockets {
  Fd channel;  ///< to the predecessor, as that of a worker
  ServerSockets sockets;
  Fd pidfile;   ///< not valid if there is none
  Fd original;  ///< to the original process; not valid if none stays
};

/// Takes the descriptors whose numbers the text says. Throws InvalidArgument when it cannot be
/// understood.
InheritedSockets decode_inherited(std::string_view text);

/// Takes what the environment says; nothing when this process succeeds no other. Throws
/// InvalidArgument when that cannot be understood. Works once: the variable is removed.
std::optional<InheritedSockets> take_inherited_sockets();

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/os/fd.hpp>

#include "master/server_sockets.hpp"
#include "os/listener.hpp"

namespace handoff {

/// What a master leaves to its successor. The master keeps owning all of it.
struct SocketsToInherit {
  int channel = -1;  ///< the successor's end of its channel
  std::vector<const Listener*> listeners;
  const Listener* join = nullptr;
  const Listener* control = nullptr;
  const Listener* status = nullptr;
  int pidfile = -1;   ///< -1 if there is none
  int original = -1;  ///< the socket to the original process; -1 if that does not stay
};

/// The JSON of HANDOFF_SUCCESSION, see handoff-wire(7), THE SUCCESSION, and the descriptors whose
/// numbers in the successor it contains: (number here, number there).
struct EncodedSockets {
  std::string text;
  std::vector<std::pair<int, int>> descriptors;
};

/// Encodes what the successor inherits; its descriptors get the numbers from `first` on.
EncodedSockets encode(const SocketsToInherit& sockets, int first);

/// What a master has from its predecessor. It owns all of it.
struct InheritedSockets {
  Fd channel;  ///< the channel to the predecessor, on which this master is a worker
  ServerSockets sockets;
  Fd pidfile;   ///< invalid if there is none
  Fd original;  ///< the socket to the original process; invalid if that does not stay
};

/// Takes over the descriptors whose numbers the text contains. Throws InvalidArgument if it cannot
/// be understood.
InheritedSockets decode_inherited(std::string_view text);

/// Takes over what the environment names; returns nothing if this process succeeds no other.
/// Removes the variable, so that it works once. Throws InvalidArgument if the variable cannot be
/// understood.
std::optional<InheritedSockets> take_inherited_sockets();

}  // namespace handoff

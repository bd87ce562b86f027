// SPDX-License-Identifier: MIT
#include "master/server_sockets.hpp"

#include <fmt/format.h>

#include <iterator>

#include <handoff/os/error.hpp>

#include "master/master_options.hpp"
#include "os/listen_on_all.hpp"
#include "pass/channel.hpp"

namespace handoff {
namespace {

/// Listens on the socket for workers or control. The peer's user decides who may connect, so the
/// file's mode must let allowed users connect.
Listener listen_privately(const Address& address, int type, const MasterOptions& options) {
  ListenOptions listen;
  listen.type = type;
  if (!options.allowed_uids.empty()) { listen.mode = 0666; }
  return listen_on(address, listen);
}

Listener listen_for_status(const Address& address, const MasterOptions& options) {
  ListenOptions listen;
  listen.allow_public = options.allow_public;
  if (!options.allowed_uids.empty()) { listen.mode = 0666; }
  return listen_on(address, listen);
}

std::vector<Listener> listen_for_clients(const MasterOptions& options) {
  ListenOptions listen;
  listen.allow_public = options.allow_public;
  // A program that knows nothing of handoff expects a socket as a service manager passes it, which
  // is blocking.
  listen.blocking = options.pass == Pass::listener && !options.has_messages();
  std::vector<Listener> listeners;
  for (const Address& address : options.listen) {
    for (Listener& listener : listen_on_all(address, listen)) {
      listeners.push_back(std::move(listener));
    }
  }
  if (options.pass == Pass::listener && listeners.size() > channel::kMaxEntries) {
    throw InvalidArgument(fmt::format("--pass listener can pass {} of them, not {}",
                                      channel::kMaxEntries, listeners.size()));
  }
  return listeners;
}

}  // namespace

ServerSockets open_server_sockets(const MasterOptions& options) {
  ServerSockets sockets;
  sockets.listeners = listen_for_clients(options);
  if (options.join) {
    const int type = options.has_messages() ? SOCK_SEQPACKET : SOCK_STREAM;
    sockets.join.emplace(listen_privately(*options.join, type, options));
  }
  if (options.control) {
    sockets.control.emplace(listen_privately(*options.control, SOCK_STREAM, options));
  }
  if (options.status) { sockets.status.emplace(listen_for_status(*options.status, options)); }
  return sockets;
}

}  // namespace handoff

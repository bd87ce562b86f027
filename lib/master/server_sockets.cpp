// SPDX-License-Identifier: MIT
#include "master/server_sockets.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <utility>

#include <handoff/os/error.hpp>

#include "master/master_options.hpp"
#include "os/listen_on_all.hpp"
#include "pass/channel.hpp"

namespace handoff {
namespace {

/// How the socket for workers, for control or for the status is made. The peer's user decides who
/// may connect, so the file's mode must let allowed users connect.
ListenOptions private_options(const MasterOptions& options, int type) {
  ListenOptions listen;
  listen.type = type;
  if (!options.allowed_uids.empty()) { listen.mode = 0666; }
  return listen;
}

ListenOptions join_options(const MasterOptions& options) {
  return private_options(options, options.has_messages() ? SOCK_SEQPACKET : SOCK_STREAM);
}

ListenOptions control_options(const MasterOptions& options) {
  return private_options(options, SOCK_STREAM);
}

ListenOptions status_options(const MasterOptions& options) {
  ListenOptions listen = private_options(options, SOCK_STREAM);
  listen.allow_public = options.allow_public;
  return listen;
}

ListenOptions client_options(const MasterOptions& options) {
  ListenOptions listen;
  listen.allow_public = options.allow_public;
  // A program that knows nothing of handoff expects a socket as a service manager passes it, which
  // is blocking.
  listen.blocking = options.pass == Pass::listener && !options.has_messages();
  return listen;
}

void check_count(const MasterOptions& options, std::size_t listeners) {
  if (options.pass == Pass::listener && listeners > channel::kMaxEntries) {
    throw InvalidArgument(fmt::format("--pass listener can pass {} of them, not {}",
                                      channel::kMaxEntries, listeners));
  }
}

std::vector<Listener> listen_for_clients(const MasterOptions& options) {
  std::vector<Listener> listeners;
  for (const Address& address : options.listen) {
    for (Listener& listener : listen_on_all(address, client_options(options))) {
      listeners.push_back(std::move(listener));
    }
  }
  check_count(options, listeners.size());
  return listeners;
}

}  // namespace

ServerSockets open_server_sockets(const MasterOptions& options) {
  ServerSockets sockets;
  sockets.listeners = listen_for_clients(options);
  if (options.join) { sockets.join.emplace(listen_on(*options.join, join_options(options))); }
  if (options.control) {
    sockets.control.emplace(listen_on(*options.control, control_options(options)));
  }
  if (options.status) {
    sockets.status.emplace(listen_on(*options.status, status_options(options)));
  }
  return sockets;
}

ServerSocketsCheck check_server_sockets(const MasterOptions& options) {
  ServerSocketsCheck sockets;
  for (const Address& address : options.listen) {
    const auto checks = check_listen_on_all(address, client_options(options));
    sockets.listeners.insert(sockets.listeners.end(), checks.begin(), checks.end());
  }
  check_count(options, sockets.listeners.size());
  if (options.join) { sockets.join = check_listen_on(*options.join, join_options(options)); }
  if (options.control) {
    sockets.control = check_listen_on(*options.control, control_options(options));
  }
  if (options.status) {
    sockets.status = check_listen_on(*options.status, status_options(options));
  }
  return sockets;
}

}  // namespace handoff

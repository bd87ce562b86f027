// SPDX-License-Identifier: MIT
#include "rpc/proxied_peer.hpp"

#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "os/printable.hpp"

namespace handoff {
namespace {

template <typename Address>
SocketAddress of(const Address& address, std::size_t size) {
  return SocketAddress(reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size));
}

/// A path ends at its first zero byte; an abstract name, which begins with one, may have more.
std::optional<SocketAddress> unix_peer(std::string_view path) {
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  const bool is_abstract = path.starts_with('\0');
  if (!is_abstract) { path = path.substr(0, path.find('\0')); }
  const std::string_view text = path.substr(is_abstract ? 1 : 0);
  if (path.size() > sizeof local.sun_path || printable(text) != text) { return std::nullopt; }
  std::copy(path.begin(), path.end(), local.sun_path);
  return of(local, offsetof(sockaddr_un, sun_path) + path.size());
}

}  // namespace

std::optional<SocketAddress> peer_of(const ProxiedSource& source, const SocketAddress& own) {
  switch (source.family) {
    case ProxiedSource::Family::none: break;
    case ProxiedSource::Family::ipv4: {
      sockaddr_in v4{};
      v4.sin_family = AF_INET;
      v4.sin_port = htons(source.port);
      std::memcpy(&v4.sin_addr, source.address.data(), sizeof v4.sin_addr);
      return of(v4, sizeof v4);
    }
    case ProxiedSource::Family::ipv6: {
      sockaddr_in6 v6{};
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(source.port);
      std::memcpy(&v6.sin6_addr, source.address.data(), sizeof v6.sin6_addr);
      return of(v6, sizeof v6);
    }
    case ProxiedSource::Family::unix_socket: return unix_peer(source.path);
  }
  return own;
}

}  // namespace handoff

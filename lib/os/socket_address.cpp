// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <handoff/os/error.hpp>
#include <handoff/os/socket_address.hpp>

namespace handoff {
namespace {

constexpr std::size_t kPathOffset = offsetof(sockaddr_un, sun_path);

[[noreturn]] void refuse(std::string_view name, std::string_view why) {
  throw InvalidArgument(fmt::format("{}: {}", name.empty() ? "''" : name, why));
}

std::string zone_text(std::uint32_t number) {
  char name[IF_NAMESIZE] = "";
  if (if_indextoname(number, name) != nullptr) { return name; }
  return fmt::format_int(number).str();
}

}  // namespace

SocketAddress::SocketAddress(const sockaddr* address, socklen_t length)
    : size_(std::min<socklen_t>(length, sizeof storage_.local)) {
  std::memcpy(&storage_, address, size_);
}

SocketAddress SocketAddress::unix_path(std::string_view path) {
  SocketAddress address;
  sockaddr_un& local = address.storage_.local;
  if (path.empty() || path.size() >= sizeof local.sun_path) {
    refuse(path, fmt::format("a socket's path has 1 to {} bytes", sizeof local.sun_path - 1));
  }
  local.sun_family = AF_UNIX;
  std::memcpy(local.sun_path, path.data(), path.size());
  address.size_ = static_cast<socklen_t>(kPathOffset + path.size() + 1);
  return address;
}

SocketAddress SocketAddress::unix_abstract(std::string_view name) {
  SocketAddress address;
  sockaddr_un& local = address.storage_.local;
  if (name.empty() || name.size() >= sizeof local.sun_path) {
    refuse(name, fmt::format("an abstract name has 1 to {} bytes", sizeof local.sun_path - 1));
  }
  local.sun_family = AF_UNIX;
  std::memcpy(local.sun_path + 1, name.data(), name.size());
  address.size_ = static_cast<socklen_t>(kPathOffset + 1 + name.size());
  return address;
}

bool SocketAddress::is_loopback() const {
  switch (family()) {
    case AF_INET: return (ntohl(storage_.v4.sin_addr.s_addr) >> 24) == 127;
    case AF_INET6: {
      const in6_addr& address = storage_.v6.sin6_addr;
      if (IN6_IS_ADDR_V4MAPPED(&address)) { return address.s6_addr[12] == 127; }
      return IN6_IS_ADDR_LOOPBACK(&address);
    }
    default: return true;
  }
}

std::uint16_t SocketAddress::port() const {
  switch (family()) {
    case AF_INET: return ntohs(storage_.v4.sin_port);
    case AF_INET6: return ntohs(storage_.v6.sin6_port);
    default: return 0;
  }
}

void SocketAddress::set_port(std::uint16_t port) {
  if (family() == AF_INET) { storage_.v4.sin_port = htons(port); }
  if (family() == AF_INET6) { storage_.v6.sin6_port = htons(port); }
}

std::string SocketAddress::text() const {
  char host[INET6_ADDRSTRLEN] = "";
  switch (family()) {
    case AF_INET:
      inet_ntop(AF_INET, &storage_.v4.sin_addr, host, sizeof host);
      return fmt::format("{}:{}", host, port());
    case AF_INET6:
      if (IN6_IS_ADDR_V4MAPPED(&storage_.v6.sin6_addr)) {
        inet_ntop(AF_INET, &storage_.v6.sin6_addr.s6_addr[12], host, sizeof host);
        return fmt::format("{}:{}", host, port());
      }
      inet_ntop(AF_INET6, &storage_.v6.sin6_addr, host, sizeof host);
      if (const std::uint32_t zone = storage_.v6.sin6_scope_id; zone != 0) {
        return fmt::format("[{}%{}]:{}", host, zone_text(zone), port());
      }
      return fmt::format("[{}]:{}", host, port());
    case AF_UNIX: {
      if (size_ <= kPathOffset) { return "unix"; }
      const char* path = storage_.local.sun_path;
      const std::size_t length = size_ - kPathOffset;
      if (path[0] == '\0') { return "@" + std::string(path + 1, length - 1); }
      return std::string(path, strnlen(path, length));
    }
    default: return "unknown";
  }
}

}  // namespace handoff

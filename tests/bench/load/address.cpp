// SPDX-License-Identifier: MIT
#include "load/address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <system_error>

namespace load {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Address unix_address(std::string_view path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof(name.sun_path)) { throw UsageError(fmt::format("{}: too long", path)); }
  path.copy(name.sun_path, path.size());
  const bool is_abstract = path.front() == '@';
  if (is_abstract) { name.sun_path[0] = '\0'; }
  Address address;
  std::memcpy(&address.storage, &name, sizeof(name));
  address.size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (is_abstract ? 0 : 1));
  return address;
}

Address parse_address(const std::string& text) {
  if (text.starts_with('/') || text.starts_with("./") || text.starts_with('@')) {
    return unix_address(text);
  }
  const std::size_t colon = text.rfind(':');
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const char* begin = colon == std::string::npos ? end : &text[colon + 1];
  const auto [rest, error] = std::from_chars(begin, end, port);
  if (error != std::errc{} || rest != end) {
    throw UsageError(fmt::format("{}: no address", text));
  }
  const std::string host = text.substr(0, colon);
  Address address;
  if (host == "[::1]") {
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    name.sin6_port = htons(port);
    name.sin6_addr = in6addr_loopback;
    std::memcpy(&address.storage, &name, address.size = sizeof(name));
    return address;
  }
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_default = host.empty() || host == "localhost";
  if (!is_default && inet_pton(AF_INET, host.c_str(), &name.sin_addr) != 1) {
    throw UsageError(fmt::format("{}: not a loopback address in numbers", text));
  }
  if (ntohl(name.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET) {
    throw UsageError(fmt::format("{}: this machine only", text));
  }
  std::memcpy(&address.storage, &name, address.size = sizeof(name));
  return address;
}

}  // namespace

int connect_to(const std::string& text) {
  const Address address = parse_address(text);
  const int family = address.storage.ss_family;
  const int socket = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) { throw system_error("socket"); }
  if (connect(socket, reinterpret_cast<const sockaddr*>(&address.storage), address.size) < 0) {
    throw system_error("connect " + text);
  }
  const int on = 1;
  if (family != AF_UNIX) { setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); }
  return socket;
}

}  // namespace load

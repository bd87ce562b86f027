// SPDX-License-Identifier: MIT
#include "os/listen_check.hpp"

#include <linux/capability.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

#include "os/parse_number.hpp"
#include "os/socket.hpp"
#include "os/socket_path.hpp"

namespace handoff {
namespace {

/// Returns whether ports below 1024 may be bound. The kernel asks for an effective capability, and
/// so does this function.
bool may_bind_any_port() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) < 0) { return false; }
  return (data[0].effective & CAP_TO_MASK(CAP_NET_BIND_SERVICE)) != 0;
}

/// Returns the lowest port that any process may bind.
int first_free_port() {
  int port = 1024;
  std::ifstream("/proc/sys/net/ipv4/ip_unprivileged_port_start") >> port;
  return port;
}

/// A datagram socket is refused an address that this host does not have just as a listener is, and
/// with port 0 it takes no port that anybody could want.
void check_host(SocketAddress address, const std::string& text) {
  address.set_port(0);
  const Fd probe(socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe.valid()) { throw SystemError(errno, "create a socket"); }
  if (bind(probe.get(), address.data(), address.size()) < 0) {
    throw SystemError(errno, "listen on", text);
  }
}

bool is_listened_on(const SocketAddress& address) {
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream lines(table);
    for (std::string line; std::getline(lines, line);) {
      if (is_line_of_listener(line, address)) { return true; }
    }
  }
  return false;
}

void check_tcp(const SocketAddress& address, const std::string& text) {
  check_host(address, text);
  const int port = address.port();
  if (port != 0 && port < first_free_port() && !may_bind_any_port()) {
    throw SystemError(EACCES, "listen on", text);
  }
  if (port != 0 && is_listened_on(address)) { throw SystemError(EADDRINUSE, "listen on", text); }
}

bool is_abstract_name_in_use(const std::string& text, int type) {
  std::ifstream lines("/proc/net/unix");
  for (std::string line; std::getline(lines, line);) {
    if (is_line_of_name(line, text, type)) { return true; }
  }
  return false;
}

using Bytes = std::array<std::uint8_t, 16>;

constexpr Bytes kAny{};
constexpr Bytes kAnyOfIpv4 = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/// Returns an IPv6 address, or an IPv4 address that is mapped into IPv6.
Bytes bytes_of(const SocketAddress& address) {
  Bytes bytes = kAnyOfIpv4;
  if (address.family() == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address.data(), sizeof v4);
    std::memcpy(bytes.data() + 12, &v4.sin_addr, 4);
  } else {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address.data(), sizeof v6);
    std::memcpy(bytes.data(), &v6.sin6_addr, 16);
  }
  return bytes;
}

/// Reads an address of a table, where each 32 bits in memory are written as a number.
std::optional<Bytes> parse_bytes(std::string_view hex) {
  if (hex.size() != 8 && hex.size() != 32) { return std::nullopt; }
  Bytes bytes = kAnyOfIpv4;
  std::uint8_t* out = bytes.data() + (16 - hex.size() / 2);
  for (; !hex.empty(); hex.remove_prefix(8), out += 4) {
    const auto word = parse_number<std::uint32_t>(hex.substr(0, 8), 16);
    if (!word) { return std::nullopt; }
    std::memcpy(out, &*word, 4);
  }
  return bytes;
}

bool is_ipv4(const Bytes& address) {
  return std::equal(kAnyOfIpv4.begin(), kAnyOfIpv4.begin() + 12, address.begin());
}

/// A listener at all IPv6 addresses may have the IPv4 ones too, which the table does not tell.
bool are_in_conflict(const Bytes& listens, const Bytes& wanted) {
  if (listens == wanted || listens == kAny) { return true; }
  const auto is_any = [](const Bytes& one) { return one == kAny || one == kAnyOfIpv4; };
  return is_ipv4(listens) == is_ipv4(wanted) && (is_any(listens) || is_any(wanted));
}

}  // namespace

bool is_line_of_listener(std::string_view line, const SocketAddress& address) {
  constexpr std::string_view kListens = "0A";
  std::istringstream words{std::string(line)};
  std::string number, local, remote, state;
  words >> number >> local >> remote >> state;
  const std::size_t colon = local.find(':');
  if (state != kListens || colon == std::string::npos) { return false; }
  const auto listens = parse_bytes(std::string_view(local).substr(0, colon));
  const auto port = parse_number<std::uint16_t>(std::string_view(local).substr(colon + 1), 16);
  return listens && port == address.port() && are_in_conflict(*listens, bytes_of(address));
}

bool is_line_of_name(std::string_view line, std::string_view name, int type) {
  std::istringstream words{std::string(line)};
  std::string number, references, protocol, flags, its_type, state, inode, path;
  words >> number >> references >> protocol >> flags >> its_type >> state >> inode >> std::ws;
  std::getline(words, path);
  return path == name && parse_number<int>(its_type, 16) == type;
}

ListenCheck check_listen_on(const Address& address, const ListenOptions& options) {
  if (address.kind == Address::Kind::inherited) {
    check_inherited(address);
    return {local_address(address.number).text(), false};
  }
  const SocketAddress wanted = address_to_listen_on(address, options);
  try {
    if (address.kind == Address::Kind::unix_path) {
      check_path(address.name);
    } else if (address.kind == Address::Kind::tcp) {
      check_tcp(wanted, address.text);
    } else if (is_abstract_name_in_use(address.text, options.type)) {
      throw SystemError(EADDRINUSE, "listen on", address.text);
    }
  } catch (const SystemError& error) {
    if (error.error_number() != EADDRINUSE) { throw; }
    return {address.text, true};
  }
  return {address.text, false};
}

}  // namespace handoff

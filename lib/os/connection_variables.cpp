// SPDX-License-Identifier: MIT
#include "os/connection_variables.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "os/socket.hpp"

namespace handoff {
namespace {

/// Starts of names. Those of SSL are given in full or nearly so: SSL_CERT_FILE, for example, tells
/// a program what to trust, and nothing about a connection.
constexpr std::array<std::string_view, 27> kPrefixes = {
    "TCPREMOTE",   "TCPLOCAL",     "TCPCONNNUM",    "TCP6",        "UNIXREMOTE",   "UNIXLOCAL",
    "UNIXCONNNUM", "IPCREMOTE",    "IPCLOCAL",      "IPCCONNNUM",  "SSLREMOTE",    "SSLLOCAL",
    "SSLCONNNUM",  "SSL_CIPHER",   "SSL_CLIENT_",   "SSL_SERVER_", "SSL_PEER_",    "SSL_SESSION_",
    "SSL_TLS_",    "SSL_VERSION_", "SSL_SECURE_",   "REMOTE_",     "NCAT_REMOTE_", "NCAT_LOCAL_",
    "SOCAT_PEER",  "SOCAT_SOCK",   "SOCAT_OPENSSL_"};

constexpr std::array<std::string_view, 6> kNames = {"PROTO",      "SSL_PROTOCOL",   "NCAT_PROTO",
                                                    "SSH_CLIENT", "SSH_CONNECTION", "RPC_PEER"};

/// The address without its port, as UCSPI has it.
std::string host_of(const SocketAddress& address) {
  const std::string text = address.text();
  const std::string host = text.substr(0, text.rfind(':'));
  return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

}  // namespace

std::vector<std::string> connection_variables(int number) {
  const SocketAddress peer = peer_address(number);
  const SocketAddress local = local_address(number);
  if (peer.family() == AF_UNIX) return {"PROTO=UNIX"};
  const bool is_tcp =
      (peer.family() == AF_INET || peer.family() == AF_INET6) && socket_type(number) == SOCK_STREAM;
  if (!is_tcp) return {};
  return {"PROTO=TCP", "TCPREMOTEIP=" + host_of(peer), fmt::format("TCPREMOTEPORT={}", peer.port()),
          "TCPLOCALIP=" + host_of(local), fmt::format("TCPLOCALPORT={}", local.port())};
}

bool describes_a_connection(std::string_view variable) {
  const std::string_view name = variable.substr(0, variable.find('='));
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() ||
         std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "os/connection_variables.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "os/environment.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// The beginnings of names. Those of SSL are complete or nearly so: SSL_CERT_FILE, for example,
/// tells a program what to trust, and nothing about a connection.
constexpr std::array<std::string_view, 27> kPrefixes = {
    "TCPREMOTE",   "TCPLOCAL",     "TCPCONNNUM",    "TCP6",        "UNIXREMOTE",   "UNIXLOCAL",
    "UNIXCONNNUM", "IPCREMOTE",    "IPCLOCAL",      "IPCCONNNUM",  "SSLREMOTE",    "SSLLOCAL",
    "SSLCONNNUM",  "SSL_CIPHER",   "SSL_CLIENT_",   "SSL_SERVER_", "SSL_PEER_",    "SSL_SESSION_",
    "SSL_TLS_",    "SSL_VERSION_", "SSL_SECURE_",   "REMOTE_",     "NCAT_REMOTE_", "NCAT_LOCAL_",
    "SOCAT_PEER",  "SOCAT_SOCK",   "SOCAT_OPENSSL_"};

constexpr std::array<std::string_view, 6> kNames = {
    variable::kProto,     variable::kSslProtocol,   variable::kNcatProto,
    variable::kSshClient, variable::kSshConnection, variable::kPeer};

/// Returns the address without its port, as UCSPI writes it.
std::string host_of(const SocketAddress& address) {
  const std::string text = address.text();
  const std::string host = text.substr(0, text.rfind(':'));
  return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

bool is_ip(const SocketAddress& address) {
  return address.family() == AF_INET || address.family() == AF_INET6;
}

}  // namespace

std::vector<std::string> connection_variables(int number) {
  const SocketAddress peer = peer_address(number);
  if (peer.family() == AF_UNIX) { return {assignment(variable::kProto, "UNIX")}; }
  return connection_variables(number, peer);
}

std::vector<std::string> connection_variables(int number, const SocketAddress& client) {
  if (socket_type(number) != SOCK_STREAM) { return {}; }
  if (client.family() == AF_UNIX) { return {assignment(variable::kProto, "UNIX")}; }
  if (!is_ip(client)) { return {}; }
  std::vector<std::string> variables = {
      assignment(variable::kProto, "TCP"), assignment(variable::kTcpRemoteIp, host_of(client)),
      assignment(variable::kTcpRemotePort, fmt::format_int(client.port()).str())};
  const SocketAddress local = local_address(number);
  if (!is_ip(local)) { return variables; }
  variables.push_back(assignment(variable::kTcpLocalIp, host_of(local)));
  variables.push_back(assignment(variable::kTcpLocalPort, fmt::format_int(local.port()).str()));
  return variables;
}

bool describes_a_connection(std::string_view entry) {
  const std::string_view name = entry.substr(0, entry.find('='));
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() ||
         std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <handoff/os/socket_address.hpp>

namespace handoff {

/// Returns the variables that UCSPI gives to a program which serves a connection, as "NAME=value":
/// PROTO, and for TCP also TCPREMOTEIP, TCPREMOTEPORT, TCPLOCALIP, TCPLOCALPORT. Returns none for a
/// descriptor that is not a connected socket.
std::vector<std::string> connection_variables(int number);
/// Does the same for a connection whose client is not the peer of its socket, but `client`, as a
/// proxy has told. The addresses at this end are left out if the socket is not a TCP one.
std::vector<std::string> connection_variables(int number, const SocketAddress& client);

/// Returns whether an entry of the environment ("NAME=value") describes a connection: its other end
/// or its kind, as UCSPI, CGI, or a program that starts others for its connections sets it (inetd,
/// systemd, ncat, socat, sshd, s6, handoff). A program that serves another connection must not
/// inherit it.
bool describes_a_connection(std::string_view entry);

}  // namespace handoff

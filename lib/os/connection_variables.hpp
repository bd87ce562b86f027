// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace handoff {

/// The variables that UCSPI gives to a program which serves a connection: PROTO, and for TCP also
/// TCPREMOTEIP, TCPREMOTEPORT, TCPLOCALIP, TCPLOCALPORT; "NAME=value" each. None for anything that
/// is no connected socket.
std::vector<std::string> connection_variables(int number);

/// Whether an entry of the environment ("NAME=value") says who is at the other end of a
/// connection, or of what kind that is: one of UCSPI, CGI, or a program that starts others for its
/// connections (inetd, systemd, ncat, socat, sshd, s6, our own). A program that serves another
/// connection must not have it.
bool describes_a_connection(std::string_view entry);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace handoff {

/// What a descriptor is, in words for people and scripts: pairs of a field and its value, "type"
/// first. Types: file, directory, pipe, terminal, character device, block device, tcp, udp, unix,
/// socket, and what the kernel calls its own (eventpoll, eventfd, pidfd, memfd, ...). Sockets also
/// have "local", "peer" and "listening" where they apply, others "path".
std::vector<std::pair<std::string, std::string>> describe_descriptor(int number);

/// The variables that UCSPI gives to a program which serves a connection: PROTO, and for TCP also
/// TCPREMOTEIP, TCPREMOTEPORT, TCPLOCALIP, TCPLOCALPORT; "NAME=value" each. None for anything that
/// is no connected socket.
std::vector<std::string> connection_variables(int number);

}  // namespace handoff

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

}  // namespace handoff

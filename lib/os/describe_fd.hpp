// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace handoff {

/// Describes a descriptor for people and scripts: pairs of a field and its value, "type" first.
/// Types: file, directory, pipe, terminal, character device, block device, tcp, udp, unix, socket,
/// namespace, what the kernel calls its own (eventpoll, eventfd, pidfd, io_uring, memfd, ...), and
/// unknown. Sockets also have "local", and "peer" or "listening" where they apply; others have
/// "path", and "deleted" if no file has that name any more; a namespace has "namespace", such as
/// net. "o_path" is there for a descriptor that only names a file (O_PATH of open(2)), also a
/// socket's. The descriptor stays the caller's and is not changed.
std::vector<std::pair<std::string, std::string>> describe_descriptor(int number);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "os/fd.hpp"

namespace handoff {

/// How a file is opened to be sent.
enum class OpenMode { read, write, append, read_write };

/// A copy of a descriptor that this process inherited. Throws InvalidArgument when it is not open.
Fd take_inherited(int number);

/// Opens `path`; files that are written are made when missing. Throws SystemError.
Fd open_file(const std::string& path, OpenMode mode);

/// A copy of descriptor `number` of the running process `pid`, by pidfd_getfd(2). Throws
/// SystemError
/// ("cannot take PID:FD: ..."): EPERM where the rules of ptrace(2) forbid it, ESRCH, EBADF.
Fd take_from_process(int pid, int number);

/// "PID:FD". Throws InvalidArgument.
std::pair<int, int> parse_process_descriptor(std::string_view text);

}  // namespace handoff

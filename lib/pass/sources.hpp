// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "os/fd.hpp"

namespace handoff {

/// How a file is opened that is sent.
enum class OpenMode { read, write, append, read_write };

/// Returns a close-on-exec copy of a descriptor that this process inherited, which stays open.
/// Throws InvalidArgument if it is not open, and SystemError.
Fd take_inherited(int number);

/// Opens `path`, close-on-exec; a file that is written is made if it does not exist, with the mode
/// 0666 reduced by the umask. May block, as for a FIFO (open(2)). Throws SystemError.
Fd open_file(const std::string& path, OpenMode mode);

/// Returns a close-on-exec copy of descriptor `number` of the running process `pid`
/// (pidfd_getfd(2)). Throws SystemError ("cannot take PID:FD: ..."): EPERM if the rules of
/// ptrace(2) forbid it, ESRCH, EBADF, and ENOSYS before Linux 5.6.
Fd take_from_process(int pid, int number);

/// Reads "PID:FD". Throws InvalidArgument.
std::pair<int, int> parse_process_descriptor(std::string_view text);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "os/address.hpp"
#include "os/fd.hpp"

namespace handoff {

/// How a file is opened that is sent.
enum class OpenMode { read, write, append, read_write };

/// Returns a close-on-exec copy of a descriptor that this process inherited, which stays open.
/// Throws InvalidArgument if it is not open, and SystemError.
Fd take_inherited(int number);

/// Opens `path`, close-on-exec. A file that is written keeps what it has, so that nothing is lost
/// if nobody takes the descriptor; see empty_file(). A file that is written is made if it does not
/// exist, with the mode 0666 reduced by the umask. May block, as for a FIFO (open(2)). Throws
/// SystemError.
Fd open_file(const std::string& path, OpenMode mode);

/// Returns a close-on-exec copy of descriptor `number` of the running process `pid`
/// (pidfd_getfd(2)). Throws SystemError ("cannot take PID:FD: ..."): EPERM if the rules of
/// ptrace(2) forbid it, ESRCH, EBADF, and ENOSYS before Linux 5.6.
Fd take_from_process(int pid, int number);

/// Empties a file that is open for writing. What is no regular file is left as it is, as O_TRUNC
/// leaves it. Throws SystemError, which names `path`.
void empty_file(const Fd& file, const std::string& path);

/// Returns a close-on-exec copy of the listener that the running process `pid` has at `address`,
/// which is TCP or Unix. A listener at all addresses of the host counts for each of them, unless
/// there is one at `address` itself. Throws InvalidArgument if the process has none, which names
/// the listeners that it has, and otherwise what take_from_process() throws.
Fd take_listener(int pid, const Address& address);

/// Reads "PID". Throws InvalidArgument.
int parse_process(std::string_view text);

/// Reads "PID:FD". Throws InvalidArgument.
std::pair<int, int> parse_process_descriptor(std::string_view text);

}  // namespace handoff

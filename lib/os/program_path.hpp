// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace handoff {

/// Where a program may be: at its own path if that has a slash, else in the folders of PATH.
std::vector<std::string> paths_of(const std::string& name);

/// Where the shell would find `name`: itself when it has a slash, else in PATH. Throws SystemError
/// ("cannot run NAME: ...") when it is not there, or may not be executed.
std::string find_program(const std::string& name);

/// The absolute path of this program as it was called by `name` (argv[0]): where that is found, not
/// what it leads to, so that another program can take its place there.
std::string own_program(const std::string& name);

}  // namespace handoff

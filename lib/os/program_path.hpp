// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace handoff {

/// Returns the paths at which a program may be: its own if that has a slash, else one in each
/// folder of PATH.
std::vector<std::string> paths_of(const std::string& name);

/// Returns the path at which a shell would find `name`: itself if it has a slash, else one in PATH.
/// Throws SystemError ("cannot run NAME: ...") if there is none, or it may not be executed.
std::string find_program(const std::string& name);

/// Returns the absolute path of this program as it was called by `name` (argv[0]). It is where the
/// name was found, not what a symlink there leads to, so that another program can take its place.
std::string own_program(const std::string& name);

}  // namespace handoff

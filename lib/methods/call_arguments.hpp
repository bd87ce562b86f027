// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "os/environment.hpp"
#include "os/status.hpp"

namespace handoff {

/// The params of a call as a program gets them: as arguments, or as variables of its environment.
struct CallArguments {
  std::vector<std::string> words;  ///< one for each element of an array
  Environment variables;           ///< "RPC_ARG_name=value" for each member of an object
};

/// The most bytes of all words and variables of a call, each with the NUL at its end. The kernel
/// accepts no single one that is longer.
inline constexpr std::size_t kMaxArgumentBytes = 128 * 1024;

/// Reads the params of a call, which must be valid JSON. A string stands for its text, any other
/// value for its JSON without white space. The params null give no arguments.
///
/// Fails, and leaves `arguments` in an unspecified state, if the params are neither null, an array
/// nor an object, if a text contains a NUL, if a name occurs twice or is not one that a shell can
/// use ([A-Za-z_][A-Za-z0-9_]*), or if the limit kMaxArgumentBytes is exceeded.
Status read_call_arguments(std::string_view params, CallArguments& arguments);

}  // namespace handoff

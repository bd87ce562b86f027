// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "os/environment.hpp"
#include "os/status.hpp"

namespace handoff {

/// What the params of a call are to a program: its arguments, or variables of its environment.
struct CallArguments {
  std::vector<std::string> words;  ///< of an array, an element each
  Environment variables;           ///< of an object: "RPC_ARG_name=value" for each member
};

/// How many bytes the words and variables of a call may have, each with the NUL at its end. The
/// kernel takes no single one that is longer.
inline constexpr std::size_t kMaxArgumentBytes = 128 * 1024;

/// Reads the params of a call, which are valid JSON. A string stands for its text, any other value
/// for itself as JSON without white space; null instead of an array or object is no arguments.
///
/// Fails, and leaves `arguments` in no certain state, for params of another kind; for a text with a
/// NUL; for a name that no shell could use (not [A-Za-z_][A-Za-z0-9_]*) or that comes twice; and
/// above kMaxArgumentBytes.
Status read_call_arguments(std::string_view params, CallArguments& arguments);

}  // namespace handoff

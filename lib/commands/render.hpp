// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace handoff {

/// How a JSON value is shown. Its tokens are never changed: a number keeps every digit.
enum class Rendering {
  compact,  ///< one line
  pretty,   ///< indented
  raw,      ///< a string as its text; anything else on one line
};

/// Where it is shown.
enum class Output {
  terminal,  ///< characters that could command it are escaped, except in what is `raw`
  other,     ///< a pipe or a file gets every byte as it is
};

/// `json` is valid JSON. No newline at the end.
std::string render_json(std::string_view json, Rendering rendering, Output output = Output::other);

}  // namespace handoff

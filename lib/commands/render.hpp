// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace handoff {

/// How a JSON value is shown. Its tokens are never changed: a number keeps every digit, a string
/// its escapes.
enum class Rendering {
  compact,  ///< one line without spaces between tokens
  pretty,   ///< several lines, indented by two spaces
  raw,      ///< a string as its text; anything else on one line
};

/// Where a value is shown.
enum class Output {
  terminal,  ///< a terminal: characters that could control it are escaped, except in what is `raw`
  other,     ///< a pipe or a file, which gets every byte unchanged
};

/// Returns the text for `json`, which is valid JSON, without a newline at the end.
///
///     render_json(R"({"a": [1, 2]})", Rendering::compact)   // {"a":[1,2]}
///     render_json(R"("a\nb")", Rendering::raw)              // a, a newline, b
std::string render_json(std::string_view json, Rendering rendering, Output output = Output::other);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace handoff {

/// Returns what is wrong with `text` as one JSON value, and where ("invalid number at column 8"),
/// or nothing if it is valid. The value is to stand inside a message, so it may nest one level less
/// than a body. The function copies the text, which needs no padding: it is meant for what people
/// and commands write, not for what arrives from the network.
std::optional<std::string> json_problem(std::string_view text);

/// Returns whether JSON-RPC allows this validated JSON as params: an object or an array.
inline bool is_structured(std::string_view json) {
  return json.starts_with('{') || json.starts_with('[');
}

/// Returns `text`, which may be any bytes, as a quoted JSON string. Each sequence of bytes that is
/// not UTF-8 becomes U+FFFD.
std::string quote_json(std::string_view text);
/// Returns whether quote_json() would only add the quotes.
bool is_plain_text(std::string_view text);

/// Returns the JSON text without the space between its tokens, and so as one line. The tokens are
/// not changed. A text that is no JSON may be returned as it is.
std::string minify_json(std::string_view json);

/// Returns the text of a JSON string, or nothing if `json` is another value. `json` must be valid.
std::optional<std::string> json_string(std::string_view json);

}  // namespace handoff

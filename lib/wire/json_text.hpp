// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace handoff {

/// What is wrong with `text`, and where, as one JSON value that is to stand in a message (so it may
/// nest one level less than a body), or nothing. Copies it; for what people and commands write.
std::optional<std::string> json_problem(std::string_view text);

/// Whether JSON-RPC allows this validated JSON as params: an object or an array.
inline bool is_structured(std::string_view json) {
  return json.starts_with('{') || json.starts_with('[');
}

/// `text`, which may be any bytes, as a JSON string; what is no UTF-8 becomes U+FFFD.
std::string quote_json(std::string_view text);
/// Whether that takes nothing but quotes around it.
bool is_plain_text(std::string_view text);

/// A JSON value as one line, its tokens untouched.
std::string minify_json(std::string_view json);

/// The text of a JSON string, or nothing when `json` is another value.
std::optional<std::string> json_string(std::string_view json);

}  // namespace handoff

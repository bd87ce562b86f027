// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace handoff {

/// Returns what is wrong with `text`, and where, as one JSON value that is to stand in a message
/// (so it may nest one level less than a body), or nothing when nothing is. It copies the text, and
/// so is meant for what people and commands write.
std::optional<std::string> json_problem(std::string_view text);

/// Returns whether JSON-RPC allows this validated JSON as params: an object or an array.
inline bool is_structured(std::string_view json) {
  return json.starts_with('{') || json.starts_with('[');
}

/// Returns `text`, which may be any bytes, as a JSON string with its quotes; bytes that are no
/// UTF-8 become U+FFFD.
std::string quote_json(std::string_view text);
/// Returns whether quote_json() would put quotes around `text` and change nothing else.
bool is_plain_text(std::string_view text);

/// Returns a JSON value as one line, its tokens untouched. `json` is validated JSON.
std::string minify_json(std::string_view json);

/// Returns the text of a JSON string, without quotes and escapes, or nothing when `json`, which is
/// validated JSON, is another value.
std::optional<std::string> json_string(std::string_view json);

}  // namespace handoff

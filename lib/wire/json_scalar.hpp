// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

/// Validates the scalars of JSON that are no strings, each by its whole text. The libraries' own
/// checks are not enough: simdjson 3.0 accepts and refuses some of them wrongly, and nlohmann-json
/// 3.11 takes a NUL byte for the end.
namespace handoff {

/// Returns whether `text` is a number by RFC 8259, section 6, that a double can hold. A number too
/// small for a double counts as zero, and is accepted.
bool is_json_number(std::string_view text);

/// Returns whether `text` is true, false or null.
inline bool is_json_word(std::string_view text) {
  return text == "true" || text == "false" || text == "null";
}

/// Returns whether `text`, without space around it, is a number or a string, as the id of a request
/// must be. Copies the text, which needs no padding.
bool is_json_id(std::string_view text);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

/// The scalars of JSON that are no strings, judged by their whole text. simdjson 3.0 accepts and
/// refuses some of them wrongly, nlohmann-json 3.11 takes a NUL byte for the end.
namespace handoff {

/// Whether `text` is a number by RFC 8259, section 6, and not beyond what a double can hold.
bool is_json_number(std::string_view text);

/// Whether `text` is true, false or null.
inline bool is_json_word(std::string_view text) {
  return text == "true" || text == "false" || text == "null";
}

/// Whether `text` is a number or a string, as the id of a request may be, without space around it.
bool is_json_id(std::string_view text);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace handoff {

/// Returns whether a character can do something to a terminal, or to a reader of a log, other than
/// show itself: it moves the cursor, begins a line, begins a command of the terminal (C0, DEL, C1),
/// or changes the direction in which text is shown.
bool is_control_character(char32_t code_point);

/// Returns `text` as one line that is safe to show: each control character, and each byte that is
/// not UTF-8, becomes an escape sequence of C (\n, \x1b, \u202e, \xff). A backslash stays as it is,
/// so the result is for people to read and not for programs to decode.
std::string printable(std::string_view text);

/// Does the same for JSON: control characters become JSON's own escapes, so that the value does not
/// change. `json` is validated JSON without line breaks between its tokens, or lines that handoff
/// has indented: \n stays as it is.
std::string printable_json(std::string_view json);

}  // namespace handoff

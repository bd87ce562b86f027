// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "wire/json_reader.hpp"

namespace handoff {

/// Returns what is wrong with the text of `reader`, and where: "invalid number at column 8",
/// "unknown word at line 2, column 1". Lines and columns count from 1, and a column is a character.
/// `problem` is what the reader's last call has returned, and the text must still exist unchanged.
std::string explain(const JsonReader& reader, JsonProblem problem);

}  // namespace handoff

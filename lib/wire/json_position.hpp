// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "wire/json_reader.hpp"

namespace handoff {

/// What is wrong with the text that the reader has read, and where: "invalid number at column 8",
/// "unknown word at line 2, column 1". Lines and columns count from 1, and a column is a character.
/// `problem` is what the reader has just returned, and the text is still there.
std::string explain(const JsonReader& reader, JsonProblem problem);

}  // namespace handoff

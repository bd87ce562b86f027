// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>

namespace handoff {

/// The params that words of a command line stand for, as JSON: none is null; one word of valid JSON
/// is itself; else each word is KEY=TEXT or KEY:=JSON, a member of an object, each with another
/// key. Throws InvalidArgument, which says how it is written.
std::string params_from_words(std::span<const std::string> words);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>

namespace handoff {

/// Returns the params that words of a command line stand for, as JSON: no words are null; a single
/// word of valid JSON is itself; otherwise each word is KEY=TEXT or KEY:=JSON, a member of an
/// object, each with another key. A single word @FILE is the JSON in that file, and @- that of
/// stdin up to its end: reading it may block. Throws InvalidArgument, which says how params are
/// written, and SystemError for a file that cannot be read.
///
///     params_from_words({"text=hi", "count:=2"})   // {"text":"hi","count":2}
std::string params_from_words(std::span<const std::string> words);

}  // namespace handoff

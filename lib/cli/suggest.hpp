// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace handoff {

/// Returns the candidate that a misspelt word was probably meant to be: the one that the fewest
/// edits separate from it. An edit adds, removes or replaces a letter, or swaps two neighbours.
/// Returns nothing if that takes more edits than a third of the word's letters, or if the word is
/// longer than 64.
std::optional<std::string> suggest(std::string_view word,
                                   const std::vector<std::string>& candidates);

/// Returns " (did you mean X?)", or nothing if there is no such candidate.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace handoff

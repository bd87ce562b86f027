// SPDX-License-Identifier: MIT
#include "cli/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>

namespace handoff {
namespace {

constexpr std::size_t kLongest = 64;

/// Returns the distance of optimal string alignment (that of Damerau and Levenshtein, without edits
/// inside of what was swapped). Three rows of its table are enough.
std::size_t distance(std::string_view a, std::string_view b) {
  std::array<std::array<std::size_t, kLongest + 1>, 3> rows{};
  for (std::size_t j = 0; j <= b.size(); ++j) { rows[0][j] = j; }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i + 2) % 3];
    const auto& two_above = rows[(i + 1) % 3];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, above[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) { row[j] = std::min(row[j], two_above[j - 2] + 1); }
    }
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace

std::optional<std::string> suggest(std::string_view word,
                                   const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  if (word.size() > kLongest) { return best; }
  std::size_t fewest = std::max<std::size_t>(word.size() / 3, 1);
  for (const std::string& candidate : candidates) {
    if (candidate == word || candidate.size() > kLongest) { continue; }
    const std::size_t edits = distance(word, candidate);
    if (edits > fewest || (best && edits == fewest)) { continue; }
    fewest = edits;
    best = candidate;
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  const auto meant = suggest(word, candidates);
  return meant ? fmt::format(" (did you mean {}?)", *meant) : "";
}

}  // namespace handoff

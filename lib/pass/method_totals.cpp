// SPDX-License-Identifier: MIT
#include "pass/method_totals.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace handoff::ledger {

MethodTotals::MethodTotals(const Ledger& ledger) {
  for (std::uint32_t i = 0; i < ledger.shape().methods; ++i) {
    const auto slot = static_cast<MethodSlot>(i);
    if (const auto name = ledger.method_name(slot).load()) { add(*name, ledger.totals_of(slot)); }
  }
}

void MethodTotals::add(std::string_view name, const Totals& totals) {
  auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    const std::size_t others = by_name_.contains(kNameOfOthers) ? 0 : 1;
    if (by_name_.size() + others >= kMethodSlots) { name = kNameOfOthers; }
    found = by_name_.try_emplace(std::string(name)).first;
  }
  found->second += totals;
}

MethodTotals& MethodTotals::operator+=(const MethodTotals& other) {
  for (const auto& [name, totals] : other.by_name_) { add(name, totals); }
  return *this;
}

MethodTotals MethodTotals::of_all(const std::map<int, MethodTotals>& places) {
  std::map<std::string_view, std::size_t> places_of;
  for (const auto& [number, one] : places) {
    for (const auto& [name, totals] : one.by_name_) { ++places_of[name]; }
  }
  places_of.erase(kNameOfOthers);
  std::vector<std::pair<std::size_t, std::string_view>> ranked;
  for (const auto& [name, count] : places_of) { ranked.emplace_back(count, name); }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& one, const auto& other) { return one.first > other.first; });
  MethodTotals sum;
  for (std::size_t i = 0; i < std::min(ranked.size(), kMostNames - 1); ++i) {
    sum.by_name_.try_emplace(std::string(ranked[i].second));
  }
  for (const auto& [number, one] : places) {
    for (const auto& [name, totals] : one.by_name_) {
      const auto kept = sum.by_name_.find(name);
      if (kept != sum.by_name_.end()) {
        kept->second += totals;
      } else {
        sum.by_name_[std::string(kNameOfOthers)] += totals;
      }
    }
  }
  return sum;
}

}  // namespace handoff::ledger

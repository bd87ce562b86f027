// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "pass/ledger.hpp"

namespace handoff::ledger {

/// The values of the counters of methods at one moment, added up by name over threads and workers.
/// Totals::active_calls is not counted by method. There are never more than so many names: further
/// ones count under kNameOfOthers, because a worker that lies may invent any number of them.
class MethodTotals {
 public:
  using Map = std::map<std::string, Totals, std::less<>>;

  MethodTotals() = default;
  /// Reads the counters of a ledger, which a live worker may be changing.
  explicit MethodTotals(const Ledger& ledger);

  void add(std::string_view name, const Totals& totals);
  /// Adds the counters of another worker in the same place. Its names beyond kMethodSlots count as
  /// those of other methods, so the names of this object have precedence.
  MethodTotals& operator+=(const MethodTotals& other);

  /// Adds up the counters of all places. Of more than kMostNames names those that are in most
  /// places are kept: what the workers of one place invent displaces no method of the others.
  static constexpr std::size_t kMostNames = std::size_t{2} * kMethodSlots;
  static MethodTotals of_all(const std::map<int, MethodTotals>& places);

  const Map& by_name() const { return by_name_; }

 private:
  Map by_name_;
};

}  // namespace handoff::ledger

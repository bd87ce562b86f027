// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pass/ledger.hpp"

namespace handoff {

/// Gives the methods of a worker their slots in its ledgers. A name keeps its slot for as long as
/// the process lives, in every ledger: a call that began before the methods or the ledger were
/// replaced counts under its own name. Only the main thread uses this object.
class MethodSlots {
 public:
  /// Gives a slot to each name that has none, as long as there are free ones, and writes it to the
  /// ledger.
  void add(const std::vector<std::string>& names);
  /// Writes the names to this ledger, from now on to no other; null: to none.
  void use(std::shared_ptr<const ledger::Ledger> ledger);

 private:
  void write(std::size_t slot) const;

  std::vector<std::string> names_{std::string(ledger::kNameOfOthers),
                                  std::string(ledger::kNameOfUnknown)};
  std::shared_ptr<const ledger::Ledger> ledger_;
};

}  // namespace handoff

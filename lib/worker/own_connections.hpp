// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pass/connection.hpp"
#include "pass/ledger.hpp"

namespace handoff {

/// Numbers the connections that a worker accepts itself beside a master. In a ledger each has an
/// entry of those after the master's, as long as there are some free; a number tells which, and no
/// two connections have the same at a time.
class OwnConnections {
 public:
  /// From now on there is this ledger, or, if it is null, none: another master.
  void use(std::shared_ptr<const ledger::Ledger> ledger);

  /// Gives the connection its number, and its entry if there is one.
  void accept(Connection& connection);
  /// The connection of this number has ended, or was given back, and nothing is stored in its entry
  /// any more.
  void ended(std::uint64_t id);

 private:
  std::shared_ptr<const ledger::Ledger> ledger_;
  std::vector<std::uint32_t> free_;  ///< entries that were used; the last one comes first
  std::uint32_t next_ = 0;           ///< the first that was never used
  std::uint32_t last_without_ = 0;   ///< connections without an entry are counted
};

}  // namespace handoff

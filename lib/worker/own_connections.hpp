// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pass/connection.hpp"
#include "pass/ledger.hpp"

namespace handoff {

/// Numbers the connections that a worker accepts itself beside a master. If there is a ledger, each
/// gets one of the entries after the master's, as long as any is free; the number contains its
/// index. No two connections have the same number at a time.
class OwnConnections {
 public:
  /// Uses this ledger from now on, or none if it is null: a new master begins.
  void use(std::shared_ptr<const ledger::Ledger> ledger);

  /// Gives the connection its number, and its entry if one is free.
  void accept(Connection& connection);
  /// Frees the entry of a connection that has ended or was given back; nothing may be stored in it
  /// any more.
  void ended(std::uint64_t id);

 private:
  std::shared_ptr<const ledger::Ledger> ledger_;
  std::vector<std::uint32_t>
      free_;                ///< entries that were used and are free; the last one is used first
  std::uint32_t next_ = 0;  ///< the first entry that was never used
  std::uint32_t last_without_ = 0;  ///< the number of the last connection without an entry
};

}  // namespace handoff

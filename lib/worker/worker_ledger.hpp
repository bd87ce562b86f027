// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "pass/channel.hpp"
#include "pass/connection.hpp"
#include "pass/ledger.hpp"

namespace handoff {

/// A worker's end of the ledger of its channel. There is none before the master has sent it, and
/// with a master that sends none.
class WorkerLedger {
 public:
  /// Maps the file that a LEDGER message has brought. Throws ProtocolError if there is a ledger
  /// already or the file is no ledger, and SystemError if it cannot be mapped, because the master
  /// relies on it from then on.
  void open(const channel::Message& message);

  /// Returns whether there is a ledger.
  explicit operator bool() const { return ledger_ != nullptr; }
  /// Returns the ledger; null before open(). It stays mapped for as long as the pointer is shared.
  const std::shared_ptr<const ledger::Ledger>& get() const { return ledger_; }

  /// Takes a connection that was passed, and sets the entry of one of which the master keeps a
  /// copy. Returns false if the master has taken it back before. Throws ProtocolError if its number
  /// has no such entry.
  bool take(Connection& connection) const;

 private:
  std::shared_ptr<const ledger::Ledger> ledger_;
};

}  // namespace handoff

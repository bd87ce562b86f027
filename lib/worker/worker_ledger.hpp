// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "pass/channel.hpp"
#include "pass/connection.hpp"
#include "pass/ledger.hpp"

namespace handoff {

/// A worker's end of the ledger of its channel: none before the master has sent it, and with a
/// master that sends none.
class WorkerLedger {
 public:
  /// Maps what came with a LEDGER. Throws ProtocolError when there is a ledger already, or this is
  /// none, and SystemError when it can't be mapped: the master counts on it from then on.
  void open(const channel::Message& message);

  explicit operator bool() const { return ledger_ != nullptr; }
  /// Null before open(). It stays mapped for as long as anyone holds it.
  const std::shared_ptr<const ledger::Ledger>& get() const { return ledger_; }

  /// Takes a connection that was passed, and sets the entry of one that the master keeps. False
  /// when the master has taken it back before. Throws ProtocolError when it has no such entry.
  bool take(Connection& connection) const;

 private:
  std::shared_ptr<const ledger::Ledger> ledger_;
};

}  // namespace handoff

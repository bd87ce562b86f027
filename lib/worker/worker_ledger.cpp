// SPDX-License-Identifier: MIT
#include "worker/worker_ledger.hpp"

#include <cerrno>
#include <cstdint>

#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>

namespace handoff {

void WorkerLedger::open(const channel::Message& message) {
  if (ledger_) { throw ProtocolError("cannot read the channel: the master sent a second ledger"); }
  if (message.announced != 1) {
    throw ProtocolError("cannot read the channel: a ledger is one descriptor");
  }
  if (message.descriptors.empty()) { throw SystemError(EMFILE, "receive the ledger"); }
  try {
    ledger_ =
        std::make_shared<const ledger::Ledger>(ledger::Ledger::open(message.descriptors.front()));
  } catch (const SystemError& error) { throw SystemError(error.error_number(), "map the ledger"); }
}

bool WorkerLedger::take(Connection& connection) const {
  if ((connection.id & channel::kKeptId) == 0) { return true; }
  const std::uint32_t index = channel::index_of(connection.id);
  if (!ledger_ || index >= ledger_->shape().passed) {
    throw ProtocolError("cannot read the channel: a connection has no entry in the ledger");
  }
  connection.entry = &ledger_->entry(index);
  return connection.entry->take(ledger::State::received, channel::generation_of(connection.id));
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "worker/own_connections.hpp"

#include <utility>

#include "pass/channel.hpp"

namespace handoff {
namespace {

/// The bit in the number of a connection without an entry, where others have a generation.
constexpr std::uint64_t kNoEntry = std::uint64_t{1} << 61U;

}  // namespace

void OwnConnections::use(std::shared_ptr<const ledger::Ledger> ledger) {
  ledger_ = std::move(ledger);
  free_.clear();
  next_ = ledger_ ? ledger_->shape().passed : 0;
}

void OwnConnections::accept(Connection& connection) {
  const bool is_unused = ledger_ && next_ < ledger_->shape().passed + ledger_->shape().accepted;
  if (free_.empty() && is_unused) { free_.push_back(next_++); }
  if (free_.empty()) {
    connection.id = channel::kOwnId | kNoEntry | ++last_without_;
    return;
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  ledger::Entry& entry = ledger_->entry(index);
  const auto generation = static_cast<std::uint16_t>(ledger::Snapshot(entry).generation() + 1);
  entry.begin(ledger::State::received, generation, connection.framing, connection.dialect);
  connection.id = channel::id_of_entry(channel::kOwnId, index, generation);
  connection.entry = &entry;
}

void OwnConnections::ended(std::uint64_t id) {
  if ((id & channel::kOwnId) == 0 || (id & kNoEntry) != 0 || !ledger_) { return; }
  free_.push_back(channel::index_of(id));
}

}  // namespace handoff

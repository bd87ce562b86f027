// SPDX-License-Identifier: MIT
#include "worker/method_slots.hpp"

#include <algorithm>
#include <utility>

namespace handoff {

void MethodSlots::add(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const bool has_slot = std::find(names_.begin(), names_.end(), name) != names_.end();
    if (has_slot || !ledger::is_method_name(name)) { continue; }
    if (names_.size() == ledger::kMethodSlots) { return; }
    names_.push_back(name);
    write(names_.size() - 1);
  }
}

void MethodSlots::use(std::shared_ptr<const ledger::Ledger> ledger) {
  ledger_ = std::move(ledger);
  for (std::size_t slot = 0; slot < names_.size(); ++slot) { write(slot); }
}

void MethodSlots::write(std::size_t slot) const {
  if (!ledger_ || slot >= ledger_->shape().methods) { return; }
  ledger_->method_name(static_cast<ledger::MethodSlot>(slot)).store(names_[slot]);
}

}  // namespace handoff

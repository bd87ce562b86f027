// SPDX-License-Identifier: MIT
#include "pass/ledger_entry.hpp"

#include <algorithm>
#include <cassert>

#include "wire/json_scalar.hpp"

namespace handoff::ledger {

void Entry::store_running(std::string_view request_id, Framing framing, Dialect dialect) {
  assert(request_id.size() <= kMaxId);
  id_size = static_cast<std::uint8_t>(request_id.size());
  std::copy(request_id.begin(), request_id.end(), id.begin());
  store(State::running, framing, dialect);
}

bool Entry::take(State next, std::uint16_t generation) {
  std::uint32_t now = word.load(std::memory_order_acquire);
  const auto is_passed = [&] {
    return (now & 0xffU) == static_cast<std::uint32_t>(State::passed) && now >> 16U == generation;
  };
  while (is_passed()) {
    const std::uint32_t then = (now & ~std::uint32_t{0xff}) | static_cast<std::uint32_t>(next);
    if (word.compare_exchange_weak(now, then, std::memory_order_acq_rel)) { return true; }
  }
  return false;
}

Snapshot::Snapshot(const Entry& entry) {
  const std::uint32_t word = entry.word.load(std::memory_order_acquire);
  const std::uint32_t state = word & 0xffU;
  const std::uint32_t framing = word >> 8U & 0xfU;
  const std::uint32_t dialect = word >> 12U & 0xfU;
  generation_ = static_cast<std::uint16_t>(word >> 16U);
  if (state > static_cast<std::uint32_t>(State::taken) ||
      framing > static_cast<std::uint32_t>(Framing::lines) ||
      dialect > static_cast<std::uint32_t>(Dialect::json_rpc)) {
    return;
  }
  framing_ = static_cast<Framing>(framing);
  dialect_ = static_cast<Dialect>(dialect);
  if (static_cast<State>(state) == State::running) {
    // The size is loaded once, because a live worker may change it at any time.
    const std::size_t size = *const_cast<const volatile std::uint8_t*>(&entry.id_size);
    if (size > kMaxId) { return; }
    std::copy_n(entry.id.begin(), size, id_.begin());
    if (size > 0 && !is_json_id({id_.data(), size})) { return; }
    id_size_ = size;
  }
  state_ = static_cast<State>(state);
}

}  // namespace handoff::ledger

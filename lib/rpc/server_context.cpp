// SPDX-License-Identifier: MIT
#include "rpc/server_context.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include <handoff/os/error.hpp>

#include "rpc/session.hpp"

namespace handoff {

ServerContext::ServerContext(Reactor& reactor, std::shared_ptr<const MethodTable> methods,
                             const SessionLimits& limits, Owner owner, Shared shared)
    : reactor_(reactor),
      methods_(std::move(methods)),
      limits_(limits),
      owner_(std::move(owner)),
      shared_(shared),
      publishes_requests_(shared.counters != nullptr || shared.quota != nullptr),
      places_(reactor, limits.concurrency, limits.max_waiting),
      deadlines_(reactor),
      deposit_timer_(reactor, [this] { return deposit_sessions(); }) {
  reactor_.add(*this);
}

ServerContext::~ServerContext() {
  reactor_.remove(*this);
}

void ServerContext::be_lame_duck() {
  if (draining()) { return; }
  leaving_ = Leaving::lame_duck;
  for (Session* session : sessions_) { session->be_lame_duck(); }
}

void ServerContext::drain(WhenDrained what) {
  leaving_ = what == WhenDrained::give_back ? Leaving::giving_back : Leaving::closing;
  for (Session* session : sessions_) { session->drain(); }
}

void ServerContext::abandon() {
  if (gives_back()) { leaving_ = Leaving::closing; }
  ++abandonments_;
  for (Session* session : sessions_) { session->abandon(); }
}

void ServerContext::count_in(std::shared_ptr<const ledger::Ledger> ledger, std::uint32_t thread) {
  if (open_ == 0) { ledgers_.clear(); }
  ledger_counters_ = ledger ? &ledger->counters(thread) : nullptr;
  publishes_requests_ =
      shared_.counters != nullptr || shared_.quota != nullptr || ledger_counters_ != nullptr;
  method_counters_ = ledger ? ledger->method_counters(thread) : nullptr;
  if (ledger) { ledgers_.push_back(std::move(ledger)); }
  assign_slots();
  publish_calls(active_calls_);
}

void ServerContext::replace_methods(std::shared_ptr<const MethodTable> methods) {
  methods_ = std::move(methods);
  assign_slots();
}

void ServerContext::assign_slots() {
  if (method_counters_ == nullptr) { return; }
  const ledger::Ledger& ledger = *ledgers_.back();
  methods_->assign_slots([&ledger](std::string_view name) { return ledger.slot_of(name); });
}

void ServerContext::count_call(TimePoint start, ledger::MethodSlot slot) {
  if (ledger_counters_ == nullptr || start == TimePoint()) { return; }
  const Duration duration = Clock::now() - start;
  ledger_counters_->count_call(duration);
  if (method_counters_ != nullptr) { method_counters_[slot].count_call(duration); }
}

/// Deposits the sessions that are due. One for whose copy there is no descriptor is left out.
bool ServerContext::deposit_sessions() {
  bool some_are_young = false;
  for (Session* session : sessions_) {
    const DepositAge::Due due = session->grow_older();
    some_are_young |= due == DepositAge::Due::later;
    if (due != DepositAge::Due::now) { continue; }
    try {
      owner_.deposited(session->copy_for_deposit());
    } catch (const SystemError&) { continue; }
  }
  return some_are_young;
}

void ServerContext::publish_requests(std::size_t count) {
  if (shared_.counters != nullptr) {
    shared_.counters->requests.store(requests_, std::memory_order_relaxed);
  }
  if (ledger_counters_ != nullptr) { ledger::Counters::add(ledger_counters_->requests, count); }
  if (shared_.quota != nullptr && shared_.quota->use(count)) { owner_.quota_used_up(); }
}

bool ServerContext::close_idlest() {
  const auto idlest =
      std::min_element(sessions_.begin(), sessions_.end(),
                       [](auto* one, auto* other) { return one->ends_at() < other->ends_at(); });
  if (idlest == sessions_.end() || (*idlest)->ends_at() == kNever) { return false; }
  (*idlest)->make_way();
  return true;
}

/// The line is lost if there is no memory for it.
void ServerContext::tell_failed(std::string_view what) const {
  try {
    if (owner_.failed) { owner_.failed(fmt::format("a connection is closed: {}", what)); }
  } catch (const std::exception&) { return; }
}

void ServerContext::prepare_to_open() {
  if (sessions_.capacity() <= open_) { sessions_.reserve(2 * open_ + 1); }
}

std::uint32_t ServerContext::add(Session& session) {
  sessions_.push_back(&session);
  return static_cast<std::uint32_t>(sessions_.size() - 1);
}

void ServerContext::remove(std::uint32_t number) {
  sessions_[number] = sessions_.back();
  sessions_[number]->renumber(number);
  sessions_.pop_back();
  --open_;
}

void ServerContext::closed(std::uint64_t id, CloseReason why) {
  if (owner_.closed) { owner_.closed(id, why); }
}

void ServerContext::returned(Connection connection) {
  owner_.returned(std::move(connection));
}

/// Releases held results twice: a deferred reply may start waiting calls, which may end at once.
/// Returns whether a call has begun, since the PollSource that takes it may already have had its
/// turn.
bool ServerContext::poll() {
  bool has_begun = held_ends_.release();
  for (std::size_t i = 0; i < deferring_.size(); ++i) { deferring_[i]->send_deferred(); }
  deferring_.clear();
  if (line_.first() != nullptr && places_.available()) { line_.first()->take_turn(); }
  has_begun = held_ends_.release() || has_begun;
  return has_begun;
}

}  // namespace handoff

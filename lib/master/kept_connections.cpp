// SPDX-License-Identifier: MIT
#include "master/kept_connections.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "wire/frame_writer.hpp"
#include "wire/message_writer.hpp"

namespace handoff {
namespace {

using ledger::Snapshot;
using ledger::State;

/// A connection is closed after this many workers have died with it without touching it: it may be
/// what kills them.
constexpr int kMaxDeaths = 3;

std::string reply_for(const Snapshot& entry) {
  std::string reply;
  FrameWriter writer(reply, entry.framing());
  append_error(reply, entry.dialect(), ErrorCode::worker_died,
               "the worker died while it executed this", {}, entry.id());
  writer.finish();
  return reply;
}

}  // namespace

KeptConnections::KeptConnections(ledger::Ledger ledger, std::shared_ptr<Custody> custody)
    : ledger_(std::move(ledger)), custody_(std::move(custody)) {}

KeptConnections::~KeptConnections() {
  for (std::size_t i = 0; i < count_ + deposits_ + reserved_; ++i) { custody_->let_go(); }
}

std::optional<std::uint64_t> KeptConnections::reserve(const Connection& connection) {
  if (!custody_->may_keep()) { return std::nullopt; }
  if (free_.empty()) {
    if (slots_.size() == ledger_.shape().passed) { return std::nullopt; }
    free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  const std::uint16_t generation = ++slots_[index].generation;
  ledger_.entry(index).begin(State::passed, generation, connection.framing, connection.dialect);
  custody_->keep();
  ++reserved_;
  return channel::id_of_entry(channel::kKeptId, index, generation);
}

void KeptConnections::cancel(std::uint64_t id) {
  free_.push_back(channel::index_of(id));
  custody_->let_go();
  --reserved_;
}

void KeptConnections::sent(HeldConnection held) {
  Connection& connection = held.connection;
  const std::uint32_t index = channel::index_of(connection.id);
  slots_[index].socket = std::move(connection.socket);
  slots_[index].client = ClientAddress(connection.peer);
  slots_[index].deaths = static_cast<std::uint8_t>(held.deaths);
  if (has_luggage(connection)) {
    Custody::Hold hold(*custody_, connection.spilled.valid() ? 1 : 0, 0, connection.unread_size());
    luggage_.emplace(index,
                     Luggage{std::move(connection.unread), std::move(connection.spilled),
                             connection.spilled_size, std::move(connection.owed), std::move(hold)});
  }
  unconfirmed_.push_back(connection.id);
  --reserved_;
  ++count_;
}

/// Only the first connections need a look, because a worker takes connections in the order in which
/// they were sent.
std::size_t KeptConnections::unconfirmed() {
  while (!unconfirmed_.empty()) {
    const std::uint64_t id = unconfirmed_.front();
    const Slot& slot = slots_[channel::index_of(id)];
    const bool is_the_same = slot.generation == channel::generation_of(id) && slot.socket.valid();
    const State state = ledger_.entry(channel::index_of(id)).state();
    if (is_the_same && state == State::passed) { break; }
    unconfirmed_.pop_front();
  }
  return unconfirmed_.size();
}

bool KeptConnections::has_luggage(const Connection& connection) {
  return connection.unread_size() > 0 || !connection.owed.empty();
}

KeptConnections::Slot* KeptConnections::find(std::uint64_t id) {
  const std::uint32_t index = channel::index_of(id);
  if ((id & channel::kKeptId) == 0 || index >= slots_.size()) { return nullptr; }
  Slot& slot = slots_[index];
  return slot.socket.valid() && slot.generation == channel::generation_of(id) ? &slot : nullptr;
}

KeptConnections::Slot* KeptConnections::find_deposit(std::uint64_t id) {
  const std::uint32_t first = ledger_.shape().passed;
  const std::uint32_t index = channel::index_of(id);
  if (index < first || index - first >= deposited_.size()) { return nullptr; }
  Slot& slot = deposited_[index - first];
  const bool is_its_own = id == channel::id_of_entry(channel::kOwnId, index, slot.generation);
  return slot.socket.valid() && is_its_own ? &slot : nullptr;
}

void KeptConnections::take_socket(Slot& slot, Connection& connection) {
  connection.socket = std::move(slot.socket);
  connection.peer =
      slot.client.is_known() ? slot.client.get() : peer_address(connection.socket.get());
}

void KeptConnections::release(std::uint32_t index) {
  slots_[index].socket = Fd();
  slots_[index].client = ClientAddress(SocketAddress());
  luggage_.erase(index);
  free_.push_back(index);
  custody_->let_go();
  --count_;
}

void KeptConnections::drop_deposit(Slot& slot) {
  slot.socket = Fd();
  slot.client = ClientAddress(SocketAddress());
  custody_->let_go();
  --deposits_;
}

// What the worker says.

bool KeptConnections::started(std::uint64_t id) {
  if (find(id) == nullptr) { return false; }
  if (++started_since_look_ >= luggage_.size()) { drop_touched_luggage(); }
  return true;
}

void KeptConnections::drop_touched_luggage() {
  started_since_look_ = 0;
  std::erase_if(luggage_, [this](const auto& one) {
    const State state = ledger_.entry(one.first).state();
    return state != State::passed && state != State::received;
  });
}

bool KeptConnections::finished(std::uint64_t id) {
  if (find(id) == nullptr) { return false; }
  release(channel::index_of(id));
  return true;
}

bool KeptConnections::lost(std::uint64_t id) {
  Slot* slot = find(id);
  if (slot == nullptr) { return false; }
  shutdown(slot->socket.get(), SHUT_RDWR);
  release(channel::index_of(id));
  return true;
}

bool KeptConnections::returned(Connection& connection, Custody::Hold& hold) {
  Slot* slot = find(connection.id);
  if (slot == nullptr) { return false; }
  take_socket(*slot, connection);
  release(channel::index_of(connection.id));
  hold = Custody::Hold(*custody_, connection.descriptors(), 0, connection.unread_size());
  return true;
}

std::optional<HeldConnection> KeptConnections::refused(std::uint64_t id) {
  if (find(id) == nullptr) { return std::nullopt; }
  const std::uint32_t index = channel::index_of(id);
  if (!ledger_.entry(index).take(State::taken, channel::generation_of(id))) { return std::nullopt; }
  HeldConnection held = take(index, Snapshot(ledger_.entry(index)));
  release(index);
  return held;
}

bool KeptConnections::had(std::uint64_t id) const {
  const std::uint32_t index = channel::index_of(id);
  if ((id & channel::kKeptId) == 0 || index >= slots_.size()) { return false; }
  return !slots_[index].socket.valid() || slots_[index].generation != channel::generation_of(id);
}

bool KeptConnections::deposited(Connection connection) {
  const std::uint32_t first = ledger_.shape().passed;
  const std::uint32_t index = channel::index_of(connection.id);
  const std::uint16_t generation = channel::generation_of(connection.id);
  const bool has_entry = index >= first && index - first < ledger_.shape().accepted &&
                         connection.id == channel::id_of_entry(channel::kOwnId, index, generation);
  if (!has_entry) { return false; }
  if (index - first >= deposited_.size()) { deposited_.resize(index - first + 1); }
  Slot& slot = deposited_[index - first];
  // The connection that had the entry before has ended, though the worker has not reported that
  // yet.
  if (slot.socket.valid() && slot.generation != generation) { drop_deposit(slot); }
  if (slot.socket.valid() || !custody_->may_keep()) { return false; }
  slot = {std::move(connection.socket), generation, 0, ClientAddress(connection.peer)};
  custody_->keep();
  ++deposits_;
  return true;
}

void KeptConnections::own_ended(std::uint64_t id) {
  if (Slot* slot = find_deposit(id)) { drop_deposit(*slot); }
}

// The worker's end.

KeptConnections::Slot& KeptConnections::slot(std::uint32_t index) {
  const std::uint32_t first = ledger_.shape().passed;
  return index < first ? slots_[index] : deposited_[index - first];
}

HeldConnection KeptConnections::take(std::uint32_t index, const Snapshot& entry) {
  HeldConnection held;
  Connection& connection = held.connection;
  take_socket(slot(index), connection);
  connection.framing = entry.framing();
  connection.dialect = entry.dialect();
  if (State state = entry.state();
      state == State::passed || state == State::received || state == State::taken) {
    held.deaths = slot(index).deaths;
    if (const auto found = luggage_.find(index); found != luggage_.end()) {
      Luggage& luggage = found->second;
      connection.unread = std::move(luggage.unread);
      connection.spilled = std::move(luggage.spilled);
      connection.spilled_size = luggage.spilled_size;
      connection.owed = std::move(luggage.owed);
    }
  }
  held.hold = Custody::Hold(*custody_, connection.descriptors(), 0, connection.unread_size());
  return held;
}

std::deque<HeldConnection> KeptConnections::take_untaken() {
  std::deque<HeldConnection> untaken;
  for (const std::uint64_t id : std::exchange(unconfirmed_, {})) {
    if (std::optional<HeldConnection> held = refused(id)) { untaken.push_back(std::move(*held)); }
  }
  return untaken;
}

Rescued KeptConnections::take_all(Reach reach) {
  Rescued rescued;
  const std::uint32_t first = ledger_.shape().passed;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) { take_one(i, reach, rescued); }
  for (std::uint32_t i = 0; i < deposited_.size(); ++i) { take_one(first + i, reach, rescued); }
  for (std::size_t i = 0; i < count_ + deposits_; ++i) { custody_->let_go(); }
  count_ = deposits_ = 0;
  slots_.clear();
  free_.clear();
  deposited_.clear();
  luggage_.clear();
  unconfirmed_.clear();
  rescued.counts.moved = rescued.connections.size() - rescued.counts.answered;
  return rescued;
}

void KeptConnections::take_one(std::uint32_t index, Reach reach, Rescued& rescued) {
  Slot& one = slot(index);
  if (!one.socket.valid()) { return; }
  if (reach == Reach::on_its_way) {
    ledger::Entry& entry = ledger_.entry(index);
    if (!entry.take(State::taken, one.generation)) {
      if (Snapshot(entry).state() != State::closed) { ++rescued.counts.left; }
      return;
    }
    rescued.connections.push_back(take(index, Snapshot(entry)));
  } else {
    judge(index, reach, rescued);
  }
}

/// A connection that is closed is shut down, because a copy of the descriptor elsewhere would hide
/// its end from the client.
void KeptConnections::judge(std::uint32_t index, Reach reach, Rescued& rescued) {
  Slot& one = slot(index);
  const Snapshot entry(ledger_.entry(index));
  const bool is_the_same = entry.generation() == one.generation;
  const State state = is_the_same ? entry.state() : State::busy;
  const bool goes_on = reach == Reach::dead;
  bool is_taken = false;
  switch (state) {
    case State::passed: is_taken = true; break;
    case State::received: is_taken = ++one.deaths < kMaxDeaths; break;
    case State::idle:
    case State::silent: is_taken = goes_on; break;
    case State::running: is_taken = goes_on && entry.framing() != Framing::unknown; break;
    case State::busy: break;
    case State::free:
    case State::closed:
    case State::taken: shutdown(one.socket.get(), SHUT_RDWR); return;
  }
  if (!is_taken) {
    shutdown(one.socket.get(), SHUT_RDWR);
    if (goes_on || state != State::idle) { ++rescued.counts.closed; }
    return;
  }
  HeldConnection held = take(index, entry);
  if (state == State::running) {
    held.connection.owed = reply_for(entry);
    ++rescued.counts.answered;
  }
  rescued.connections.push_back(std::move(held));
}

}  // namespace handoff

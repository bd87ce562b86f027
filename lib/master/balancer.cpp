// SPDX-License-Identifier: MIT
#include "master/balancer.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <string_view>
#include <utility>

namespace handoff {
namespace {

/// FNV-1a with 64 bits, and then a mixing step, because its high bits change little with the last
/// bytes.
std::uint64_t hash_of(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t hash = 14695981039346656037U ^ (seed * 0x9E3779B97F4A7C15U);
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211U;
  }
  hash ^= hash >> 32U;
  hash *= 0xD6E8FEB86659FD93U;
  return hash ^ (hash >> 32U);
}

/// Returns the host of an address without the port; empty for a Unix peer, which has none.
std::string_view host_of(const SocketAddress& peer) {
  if (peer.family() == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(peer.data());
    return {reinterpret_cast<const char*>(&v4->sin_addr), sizeof v4->sin_addr};
  }
  if (peer.family() == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(peer.data());
    return {reinterpret_cast<const char*>(&v6->sin6_addr), sizeof v6->sin6_addr};
  }
  return {};
}

}  // namespace

void Balancer::add(Recipient& recipient) {
  const auto [entry, is_new] =
      candidates_.try_emplace(&recipient, Candidate{&recipient, ++last_turn_});
  if (!is_new) { return; }
  recipients_.push_back(&entry->second);
  room_changed(recipient);
  pass_what_waits_for(recipient.number());
}

void Balancer::remove(Recipient& recipient) {
  if (!forget(recipient)) { return; }
  for (HeldConnection& held : recipient.take_unsent()) { pass(std::move(held)); }
  flush();
}

void Balancer::take_back(Recipient& recipient, const Departure& how) {
  forget(recipient);
  const bool closes = retirement_ == Retirement::closing && how.reach == Reach::dead;
  std::deque<HeldConnection> all = recipient.take_all(closes ? Reach::untouched : how.reach);
  const int number = recipient.number();
  const bool waits =
      how_ == Balance::hash && how.heir == Heir::same_number && retirement_ == Retirement::none;
  if (!waits || has_number(number)) {
    pass_inherited(std::move(all));
    return closes ? pass_all() : void();
  }
  std::deque<HeldConnection>& waiting = inherited_[number];
  std::move(all.begin(), all.end(), std::back_inserter(waiting));
}

void Balancer::pass_inherited(std::deque<HeldConnection> held) {
  for (HeldConnection& one : held) { pass(std::move(one)); }
  flush();
}

bool Balancer::has_number(int number) const {
  return std::any_of(recipients_.begin(), recipients_.end(),
                     [number](const Candidate* one) { return one->recipient->number() == number; });
}

void Balancer::pass_what_waits_for(int number) {
  if (auto node = inherited_.extract(number)) { pass_inherited(std::move(node.mapped())); }
}

void Balancer::retire(Retirement how) {
  retirement_ = how;
  while (!inherited_.empty()) { pass_what_waits_for(inherited_.begin()->first); }
}

std::size_t Balancer::waiting() const {
  return std::accumulate(inherited_.begin(), inherited_.end(), unassigned_.size(),
                         [](std::size_t sum, const auto& one) { return sum + one.second.size(); });
}

/// Returns whether the balancer knew the recipient.
bool Balancer::forget(const Recipient& recipient) {
  const auto found = candidates_.find(&recipient);
  if (found == candidates_.end()) { return false; }
  if (found->second.ready) { ready_.erase(&found->second); }
  std::erase(recipients_, &found->second);
  std::erase(unsent_, &found->second);
  candidates_.erase(found);
  return true;
}

void Balancer::room_changed(Recipient& recipient) {
  const auto found = candidates_.find(&recipient);
  if (found == candidates_.end()) { return; }
  put_in_order(found->second, found->second.turn);
  give_waiting();
  flush();
}

void Balancer::pass(HeldConnection held) {
  Candidate* candidate = unassigned_.empty() ? choose(held) : nullptr;
  if (candidate == nullptr) { return unassigned_.push_back(std::move(held)); }
  give(*candidate, std::move(held));
}

/// Room does not depend on the connection: if the first one finds none, no other does.
void Balancer::give_waiting() {
  while (!unassigned_.empty()) {
    Candidate* candidate = choose(unassigned_.front());
    if (candidate == nullptr) { return; }
    give(*candidate, std::move(unassigned_.front()));
    unassigned_.pop_front();
  }
}

void Balancer::pass_all() {
  while (!unassigned_.empty() && !recipients_.empty()) {
    give(*recipients_[next_++ % recipients_.size()], std::move(unassigned_.front()));
    unassigned_.pop_front();
  }
  flush();
}

void Balancer::pass_on(std::vector<HeldConnection> returned) {
  for (HeldConnection& held : returned) { pass(std::move(held)); }
  flush();
}

void Balancer::flush() {
  for (Candidate* candidate : unsent_) {
    candidate->unsent = false;
    candidate->recipient->flush();
  }
  unsent_.clear();
}

/// A recipient that has lost its room by itself is found here, and left out until it reports room.
Balancer::Candidate* Balancer::choose(const HeldConnection& held) {
  while (!ready_.empty()) {
    Candidate* candidate = nullptr;
    switch (how_) {
      case Balance::round_robin: candidate = *ready_.begin(); break;
      case Balance::least: candidate = least_busy(); break;
      case Balance::hash: candidate = by_hash(held); break;
    }
    if (candidate->recipient->has_room()) { return candidate; }
    put_in_order(*candidate, candidate->turn);
  }
  return nullptr;
}

/// Returns the recipient with the fewest calls under way among those with the fewest connections.
/// The number of calls is read only now, because no message reports its changes.
Balancer::Candidate* Balancer::least_busy() const {
  Candidate* best = *ready_.begin();
  std::uint64_t fewest = best->recipient->active_calls();
  for (auto next = std::next(ready_.begin()); fewest > 0 && next != ready_.end(); ++next) {
    if ((*next)->load != best->load) { break; }
    const std::uint64_t calls = (*next)->recipient->active_calls();
    if (calls >= fewest) { continue; }
    best = *next;
    fewest = calls;
  }
  return best;
}

/// Rendezvous hashing: when a worker goes, only its own clients move. Its replacement has the same
/// number, and so the same clients.
Balancer::Candidate* Balancer::by_hash(const HeldConnection& held) {
  const std::string_view host = host_of(held.connection.peer);
  if (host.empty()) { return *ready_.begin(); }
  Candidate* best = nullptr;
  std::uint64_t best_hash = 0;
  for (Candidate* candidate : ready_) {
    const auto number = static_cast<std::uint64_t>(candidate->recipient->number());
    const std::uint64_t hash = hash_of(host, number);
    if (best != nullptr && hash <= best_hash) { continue; }
    best = candidate;
    best_hash = hash;
  }
  return best;
}

void Balancer::give(Candidate& candidate, HeldConnection&& held) {
  candidate.recipient->pass(std::move(held));
  if (!std::exchange(candidate.unsent, true)) { unsent_.push_back(&candidate); }
  put_in_order(candidate, ++last_turn_);
}

/// Moves the candidate to its place among those with room, or out of them. Its place is most often
/// the end, which is why that is tried first; its node is used again.
void Balancer::put_in_order(Candidate& candidate, std::uint64_t turn) {
  const bool has_room = candidate.recipient->has_room();
  const std::size_t load = how_ == Balance::least ? candidate.recipient->assigned() : 0;
  if (candidate.ready && has_room && candidate.load == load && candidate.turn == turn) { return; }
  auto node = candidate.ready ? ready_.extract(&candidate) : decltype(ready_)::node_type();
  candidate.ready = has_room;
  candidate.load = load;
  candidate.turn = turn;
  if (!has_room) { return; }
  if (node.empty()) {
    ready_.insert(ready_.end(), &candidate);
  } else {
    ready_.insert(ready_.end(), std::move(node));
  }
}

std::size_t Balancer::waiting_to_be_served() const {
  const auto count =
      std::count_if(unassigned_.begin(), unassigned_.end(),
                    [](const HeldConnection& held) { return !held.connection.is_idle(); });
  return static_cast<std::size_t>(count);
}

}  // namespace handoff

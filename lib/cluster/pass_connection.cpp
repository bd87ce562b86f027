// SPDX-License-Identifier: MIT
#include "cluster/pass_connection.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

namespace handoff {
namespace {

/// FNV-1a, 64 bits; then mixed, for its high bits change little with the last bytes.
std::uint64_t hash_of(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t hash = 14695981039346656037U ^ (seed * 0x9E3779B97F4A7C15U);
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211U;
  }
  hash ^= hash >> 32U;
  hash *= 0xD6E8FEB86659FD93U;
  return hash ^ (hash >> 32U);
}

/// The host of an address, without the port; empty for a Unix peer, which has none.
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

void PassConnection::worker_joined(WorkerLink& link) {
  links_.push_back(&link);
  flush();
}

void PassConnection::worker_left(WorkerLink& link) {
  const auto found = std::find(links_.begin(), links_.end(), &link);
  if (found == links_.end()) return;
  // Whoever would have been next still is.
  if (static_cast<std::size_t>(found - links_.begin()) < next_) --next_;
  links_.erase(found);
  for (Work& work : link.take_unsent()) work_arrived(std::move(work));
  flush();
}

void PassConnection::worker_gone(WorkerLink& link) {
  worker_left(link);
  for (Work& work : link.take_unstarted()) work_arrived(std::move(work));
  flush();
}

void PassConnection::work_arrived(Work work) {
  if (WorkerLink* link = choose(work)) {
    link->pass(std::move(work));
  } else {
    waiting_.push_back(std::move(work));
  }
}

bool PassConnection::can_take() const {
  return waiting_.empty() && std::any_of(links_.begin(), links_.end(),
                                         [](const WorkerLink* link) { return link->has_room(); });
}

void PassConnection::flush() {
  if (!waiting_.empty()) {
    for (Work& work : std::exchange(waiting_, {})) work_arrived(std::move(work));
  }
  for (WorkerLink* link : links_) link->flush();
}

void PassConnection::flush_all() {
  while (!waiting_.empty() && !links_.empty()) {
    links_[next_++ % links_.size()]->pass(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

WorkerLink* PassConnection::choose(const Work& work) {
  switch (balance_) {
    case Balance::round_robin: return next_with_room();
    case Balance::least: return least_busy();
    case Balance::hash: return by_hash(work.peer);
  }
  return nullptr;
}

WorkerLink* PassConnection::next_with_room() {
  for (std::size_t tried = 0; tried < links_.size(); ++tried) {
    WorkerLink* link = links_[next_ % links_.size()];
    next_ = (next_ + 1) % links_.size();
    if (link->has_room()) return link;
  }
  return nullptr;
}

/// Among those that are equal, in turn.
WorkerLink* PassConnection::least_busy() {
  WorkerLink* best = nullptr;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    WorkerLink* link = links_[(next_ + i) % links_.size()];
    if (link->has_room() && (best == nullptr || link->held() < best->held())) best = link;
  }
  if (!links_.empty()) next_ = (next_ + 1) % links_.size();
  return best;
}

/// Rendezvous hashing: when a worker goes, only its own clients move. One that takes another's
/// place has its number, and so its clients.
WorkerLink* PassConnection::by_hash(const SocketAddress& peer) {
  const std::string_view host = host_of(peer);
  if (host.empty()) return next_with_room();
  WorkerLink* best = nullptr;
  std::uint64_t best_hash = 0;
  for (WorkerLink* link : links_) {
    const std::uint64_t hash = hash_of(host, static_cast<std::uint64_t>(link->number()));
    if (!link->has_room() || (best != nullptr && hash <= best_hash)) continue;
    best = link;
    best_hash = hash;
  }
  return best;
}

}  // namespace handoff

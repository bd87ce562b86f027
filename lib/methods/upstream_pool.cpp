// SPDX-License-Identifier: MIT
#include "methods/upstream_pool.hpp"

#include <algorithm>

namespace handoff {

UpstreamPool::UpstreamPool(Reactor& reactor, const AddressList& servers,
                           const UpstreamOptions& options) {
  for (const Address& address : servers.all) {
    servers_.push_back(std::make_unique<Upstream>(reactor, address, options));
  }
  if (servers_.size() == 1) { return; }
  for (const auto& server : servers_) {
    const Upstream* const self = server.get();
    server->set_elsewhere([this, self](PendingCall& call) { return begin_elsewhere(call, *self); });
  }
}

/// A server that ends its calls must not offer them to one that has gone.
UpstreamPool::~UpstreamPool() {
  for (const auto& server : servers_) { server->set_elsewhere(nullptr); }
}

TimePoint UpstreamPool::begin(PendingCall& call) {
  if (servers_.size() == 1) { return servers_.front()->begin(call); }
  Upstream* const up = choose(nullptr);
  Upstream& server = up != nullptr ? *up : choose_down();
  for (const auto& other : servers_) {
    if (other.get() != &server) { other->look_again(); }
  }
  return server.begin(call);
}

bool UpstreamPool::begin_elsewhere(PendingCall& call, const Upstream& except) {
  if (Upstream* const other = choose(&except)) {
    other->begin_again(call);
    return true;
  }
  return std::any_of(servers_.begin(), servers_.end(), [&](const auto& other) {
    return other.get() != &except && other->begin_with_attempt(call);
  });
}

Upstream* UpstreamPool::choose(const Upstream* except) {
  Upstream* best = nullptr;
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    Upstream* const server = servers_[(next_ + i) % servers_.size()].get();
    if (server == except || !server->is_up()) { continue; }
    if (best == nullptr || server->calls() < best->calls()) { best = server; }
  }
  next_ = (next_ + 1) % servers_.size();
  return best;
}

Upstream& UpstreamPool::choose_down() const {
  const auto found = std::find_if(servers_.begin(), servers_.end(), [](const auto& server) {
    return server->is_reachable() || server->may_try();
  });
  return found != servers_.end() ? **found : *servers_.front();
}

Upstream& UpstreamPool::server_of(const PendingCall& call) const {
  return **std::find_if(servers_.begin(), servers_.end(),
                        [&call](const auto& server) { return server->has(call); });
}

void UpstreamPool::time_out(PendingCall& call) {
  server_of(call).time_out(call);
}

void UpstreamPool::cancel(PendingCall& call) {
  server_of(call).cancel(call);
}

}  // namespace handoff

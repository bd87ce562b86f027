// SPDX-License-Identifier: MIT
#include "master/pass_listener.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <handoff/os/error.hpp>

#include "master/worker_channel.hpp"

namespace handoff {

void PassListener::offer_listeners() {
  state_ = State::open;
  // The list is copied, because a worker that breaks the protocol leaves it.
  for (WorkerChannel* link : std::vector(links_)) { pass_listeners(*link); }
}

void PassListener::worker_joined(WorkerChannel& link) {
  links_.push_back(&link);
  if (state_ == State::open) { pass_listeners(link); }
  balancer_.add(link);
}

/// A worker that was spawned without a handshake has the listeners already. A master that has
/// closed them has none to give.
void PassListener::pass_listeners(WorkerChannel& link) {
  const std::vector<int> listeners = listeners_.numbers();
  if (listeners.empty() || (!link.is_full() && !link.has_joined())) { return; }
  if (!proxies_.empty() && !link.reads_proxies()) {
    return link.fail_with_protocol_error(
        "it does not read the headers of proxies, which --proxy-from needs");
  }
  try {
    std::vector<Fd> copies;
    for (const int number : listeners) { copies.push_back(duplicate(number)); }
    link.pass_listeners(
        std::move(copies), [this, &link] { wake_others(link); }, proxies_);
  } catch (const SystemError& error) {
    link.fail_with_protocol_error(
        fmt::format("it could not be given the listeners: {}", error.what()));
  }
}

void PassListener::worker_left(WorkerChannel& link) {
  std::erase(links_, &link);
  balancer_.remove(link);
}

/// The others check the listeners: a client may have woken only this worker, which then died.
void PassListener::worker_gone(WorkerChannel& link, const Departure& how) {
  std::erase(links_, &link);
  balancer_.take_back(link, how);
  wake_others(link);
}

void PassListener::wake_others(const WorkerChannel& link) {
  for (WorkerChannel* other : links_) {
    if (other != &link) { other->wake(channel::Type::listener); }
  }
}

}  // namespace handoff

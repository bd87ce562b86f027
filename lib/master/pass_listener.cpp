// SPDX-License-Identifier: MIT
#include "master/pass_listener.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "os/error.hpp"

namespace handoff {

void PassListener::set_listeners(std::vector<int> listeners) {
  listeners_ = std::move(listeners);
  if (begun_) begin();
}

void PassListener::begin() {
  begun_ = true;
  // One that is blamed leaves the list.
  for (WorkerChannel* link : std::vector(links_)) pass_listeners(*link);
}

void PassListener::worker_joined(WorkerChannel& link) {
  links_.push_back(&link);
  if (begun_) pass_listeners(link);
  returned_.worker_joined(link);
}

/// One that was started without a handshake has them already.
void PassListener::pass_listeners(WorkerChannel& link) const {
  if (!link.is_full() && !link.has_joined()) return;
  try {
    std::vector<Fd> copies;
    for (const int number : listeners_) copies.push_back(duplicate(number));
    link.pass_source(channel::Type::listener, std::move(copies));
  } catch (const SystemError& error) {
    link.fail_with_protocol_error(
        fmt::format("it could not be given the listeners: {}", error.what()));
  }
}

void PassListener::worker_left(WorkerChannel& link) {
  std::erase(links_, &link);
  returned_.worker_left(link);
}

/// A connection may have woken it when it was about to die, and nobody else.
void PassListener::worker_gone(WorkerChannel& link) {
  worker_left(link);
  returned_.worker_gone(link);
  wake_others(link);
}

void PassListener::wake_others(const WorkerChannel& link) {
  for (WorkerChannel* other : links_) {
    if (other != &link) other->wake(channel::Type::listener);
  }
}

}  // namespace handoff

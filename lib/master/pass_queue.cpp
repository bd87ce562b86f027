// SPDX-License-Identifier: MIT
#include "master/pass_queue.hpp"

#include <fmt/format.h>

#include <handoff/os/error.hpp>

#include "master/worker_channel.hpp"

namespace handoff {

void PassQueue::worker_joined(WorkerChannel& link) {
  try {
    queue_.add(link);
  } catch (const SystemError& error) {
    link.fail_with_protocol_error(fmt::format("it could not be given the queue: {}", error.what()));
  }
}

void PassQueue::worker_left(WorkerChannel& link) {
  queue_.retire(link);
}

void PassQueue::worker_gone(WorkerChannel& link, const Departure& /*how*/) {
  queue_.remove(link);
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include "master/pass_mode.hpp"
#include "master/request_queue.hpp"

namespace handoff {

/// `--pass queue`: workers get requests through memory that they share with the master, which
/// serves the connections itself (see ClientSessions). This is prefork with an in-queue and an
/// out-queue.
class PassQueue final : public PassMode {
 public:
  /// The queue must outlive this object.
  explicit PassQueue(Queue& queue) : queue_(queue) {}

  void worker_joined(WorkerChannel& link) override;
  void worker_left(WorkerChannel& link) override;
  void worker_gone(WorkerChannel& link, const Departure& how) override;

 private:
  Queue& queue_;
};

}  // namespace handoff

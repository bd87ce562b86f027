// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "master/balancer.hpp"

namespace handoff {

class WorkerChannel;

/// What workers are given, and when; there is one mode for each `--pass`. Connections that the
/// master passes go through the Balancer, to which a mode adds the workers that may get some.
///
/// A mode knows a channel from worker_joined() to worker_gone(), and the channel outlives that
/// time. All functions may call back: a worker that cannot be given what it needs has failed before
/// the call returns.
class PassMode {
 public:
  virtual ~PassMode() = default;

  /// Returns the descriptors that a worker that is started finds from 3 on, and in LISTEN_FDS. They
  /// stay owned elsewhere.
  virtual std::vector<int> inheritance() const { return {}; }
  /// Called when the worker can serve.
  virtual void worker_joined(WorkerChannel& link) = 0;
  /// Called when the worker gets nothing more: it drains, or is given up. Connections that it was
  /// not sent yet go to others. Does nothing for a worker that has left, or has never joined.
  virtual void worker_left(WorkerChannel& link) = 0;
  /// Called when the worker is gone, and everything that it has sent was received. Connections that
  /// others can serve go to them. The worker may have joined and not left, or never joined.
  virtual void worker_gone(WorkerChannel& link, const Departure& how) = 0;
};

}  // namespace handoff

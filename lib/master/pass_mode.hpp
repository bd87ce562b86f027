// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "master/balancer.hpp"

namespace handoff {

class WorkerChannel;

/// What workers are given, and when; each `--pass` is one. A connection that the master passes goes
/// through the Balancer, to which a mode adds the workers that may get some.
///
/// A channel is known to a mode from worker_joined() to worker_gone(), and outlives that time. All
/// of these may call back: a worker that can't be given what it needs has failed before the call
/// returns.
class PassMode {
 public:
  virtual ~PassMode() = default;

  /// What a worker that is started finds from descriptor 3 on, and in LISTEN_FDS.
  virtual std::vector<int> inheritance() const { return {}; }
  /// The worker can serve.
  virtual void worker_joined(WorkerChannel& link) = 0;
  /// The worker is to get nothing more: it drains, or is given up. What it was not sent yet goes to
  /// others. Does nothing for a worker that has left, or has never joined.
  virtual void worker_left(WorkerChannel& link) = 0;
  /// The worker is gone, and everything that it has sent was received. What can be served by others
  /// goes to them. It may have joined and not left, or never joined.
  virtual void worker_gone(WorkerChannel& link, const Departure& how) = 0;
};

}  // namespace handoff

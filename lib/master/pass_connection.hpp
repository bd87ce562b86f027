// SPDX-License-Identifier: MIT
#pragma once

#include "master/balancer.hpp"
#include "master/pass_mode.hpp"

namespace handoff {

/// `--pass connection`: the master accepts, and passes each socket to one worker. Node's cluster
/// module works like this.
class PassConnection final : public PassMode {
 public:
  /// The balancer must outlive this object.
  explicit PassConnection(Balancer& balancer) : balancer_(balancer) {}

  void worker_joined(WorkerChannel& link) override;
  void worker_left(WorkerChannel& link) override;
  void worker_gone(WorkerChannel& link, const Departure& how) override;

 private:
  Balancer& balancer_;
};

}  // namespace handoff

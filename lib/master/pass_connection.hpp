// SPDX-License-Identifier: MIT
#pragma once

#include "master/balancer.hpp"
#include "master/pass_mode.hpp"

namespace handoff {

/// `--pass connection`: each accepted socket goes to one worker. The model of Node's cluster
/// module, and of the first article.
class PassConnection final : public PassMode {
 public:
  /// The balancer must outlive this.
  explicit PassConnection(Balancer& balancer) : balancer_(balancer) {}

  void worker_joined(WorkerChannel& link) override;
  void worker_left(WorkerChannel& link) override;
  void worker_gone(WorkerChannel& link, const Departure& how) override;

 private:
  Balancer& balancer_;
};

}  // namespace handoff

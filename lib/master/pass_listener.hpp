// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "master/balancer.hpp"
#include "master/client_listeners.hpp"
#include "master/pass_mode.hpp"

namespace handoff {

/// `--pass listener`: every worker has the listening sockets and accepts by itself. nginx and
/// Apache's prefork work like this.
///
/// The master passes only connections that a worker gives back when it drains.
class PassListener final : public PassMode {
 public:
  /// `proxies` are those whose connections begin with a header; see WorkerChannel. The balancer and
  /// the listeners must outlive this object.
  PassListener(Balancer& balancer, const ClientListeners& listeners, std::string proxies = {})
      : balancer_(balancer), listeners_(listeners), proxies_(std::move(proxies)) {}

  /// Gives the listeners to the workers, and from now on to each that joins: they accept. Call it
  /// again when there are other listeners.
  void offer_listeners();

  std::vector<int> inheritance() const override { return listeners_.numbers(); }
  void worker_joined(WorkerChannel& link) override;
  void worker_left(WorkerChannel& link) override;
  void worker_gone(WorkerChannel& link, const Departure& how) override;

 private:
  enum class State {
    not_open,  ///< a worker that was spawned has the listeners, and is not told to accept
    open,
  };
  void pass_listeners(WorkerChannel& link);
  void wake_others(const WorkerChannel& link);

  Balancer& balancer_;
  const ClientListeners& listeners_;
  std::string proxies_;
  std::vector<WorkerChannel*>
      links_;  ///< the channels of the workers that joined and have not left
  State state_ = State::not_open;
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>

#include "master/balancer.hpp"
#include "master/pass_mode.hpp"

namespace handoff {

/// `--pass connection`: each accepted socket goes to one worker. The model of Node's cluster
/// module, and of the first article.
class PassConnection final : public Dispatcher {
 public:
  explicit PassConnection(Balance balance) : balancer_(balance) {}

  void worker_joined(WorkerChannel& link) override;
  void worker_left(WorkerChannel& link) override;
  void worker_gone(WorkerChannel& link) override;
  void worker_has_room(WorkerChannel& link) override;
  void successor_joined(WorkerChannel& link) override { worker_joined(link); }
  void work_arrived(HeldConnection held) override { balancer_.pass(std::move(held)); }
  bool can_take() const override { return balancer_.has_room(); }
  bool has_takers() const override { return !balancer_.is_empty(); }
  void flush() override { balancer_.flush(); }
  void flush_all() override { balancer_.pass_all(); }
  std::size_t waiting() const override { return balancer_.waiting(); }
  std::size_t waiting_to_be_served() const override { return balancer_.waiting_to_be_served(); }

 private:
  Balancer balancer_;
};

}  // namespace handoff

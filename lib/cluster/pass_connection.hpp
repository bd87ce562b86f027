// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "cluster/dispatcher.hpp"

namespace handoff {

/// Which worker gets a connection.
enum class Balance {
  round_robin,  ///< each in turn
  least,        ///< the one that holds the fewest
  hash,         ///< always the same for a client's address, also after that one was replaced
};

/// `--pass connection`: each accepted socket goes to one worker. The model of Node's cluster
/// module, and of the first article.
class PassConnection final : public Dispatcher {
 public:
  explicit PassConnection(Balance balance) : balance_(balance) {}

  void worker_joined(WorkerLink& link) override;
  void worker_left(WorkerLink& link) override;
  void worker_gone(WorkerLink& link) override;
  void successor_joined(WorkerLink& link) override { worker_joined(link); }
  void work_arrived(Work work) override;
  bool can_take() const override;
  void flush() override;
  void flush_all() override;
  std::size_t waiting() const override { return waiting_.size(); }

 private:
  WorkerLink* choose(const Work& work);
  WorkerLink* next_with_room();
  WorkerLink* least_busy();
  WorkerLink* by_hash(const SocketAddress& peer);

  Balance balance_;
  std::vector<WorkerLink*> links_;
  std::size_t next_ = 0;
  std::deque<Work> waiting_;  ///< came back, or was left by a worker, while no other had room
};

}  // namespace handoff

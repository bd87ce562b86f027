// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <vector>

#include "cluster/dispatcher.hpp"

namespace handoff {

/// `--pass connection`: each accepted socket goes to one worker, in turn. The model of Node's
/// cluster module, and of the first article.
class PassConnection final : public Dispatcher {
 public:
  void worker_joined(WorkerLink& link) override;
  void worker_left(WorkerLink& link) override;
  void work_arrived(Work work) override;
  bool can_take() const override;
  void flush() override;

 private:
  WorkerLink* next_with_room();

  std::vector<WorkerLink*> links_;
  std::size_t next_ = 0;
  std::deque<Work> waiting_;  ///< came back from a worker that left, while no other had room
};

}  // namespace handoff

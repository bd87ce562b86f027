// SPDX-License-Identifier: MIT
#include "cluster/pass_connection.hpp"

#include <algorithm>

namespace handoff {

void PassConnection::worker_joined(WorkerLink& link) {
  links_.push_back(&link);
  flush();
}

void PassConnection::worker_left(WorkerLink& link) {
  const auto found = std::find(links_.begin(), links_.end(), &link);
  if (found == links_.end()) return;
  // Whoever would have been next still is.
  if (static_cast<std::size_t>(found - links_.begin()) < next_) --next_;
  links_.erase(found);
  // The last one that drains still gets what is queued for it.
  if (links_.empty() && link.open()) return;
  for (Work& work : link.take_unsent()) work_arrived(std::move(work));
  flush();
}

void PassConnection::work_arrived(Work work) {
  if (WorkerLink* link = next_with_room()) {
    link->pass(std::move(work));
  } else {
    waiting_.push_back(std::move(work));
  }
}

bool PassConnection::can_take() const {
  return waiting_.empty() && std::any_of(links_.begin(), links_.end(),
                                         [](const WorkerLink* link) { return link->has_room(); });
}

void PassConnection::flush() {
  for (Work& work : std::exchange(waiting_, {})) work_arrived(std::move(work));
  for (WorkerLink* link : links_) link->flush();
}

WorkerLink* PassConnection::next_with_room() {
  for (std::size_t tried = 0; tried < links_.size(); ++tried) {
    WorkerLink* link = links_[next_ % links_.size()];
    next_ = (next_ + 1) % links_.size();
    if (link->has_room()) return link;
  }
  return nullptr;
}

}  // namespace handoff

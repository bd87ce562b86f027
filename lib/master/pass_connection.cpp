// SPDX-License-Identifier: MIT
#include "master/pass_connection.hpp"

#include <utility>

namespace handoff {

void PassConnection::worker_joined(WorkerChannel& link) {
  balancer_.add(link);
  flush();
}

void PassConnection::worker_left(WorkerChannel& link) {
  if (!balancer_.remove(link)) return;
  for (HeldConnection& held : link.take_unsent()) work_arrived(std::move(held));
  flush();
}

void PassConnection::worker_gone(WorkerChannel& link) {
  worker_left(link);
  for (HeldConnection& held :
       link.take_all(link.has_joined() ? Reach::on_its_way : Reach::dead).connections)
    work_arrived(std::move(held));
  flush();
}

void PassConnection::worker_has_room(WorkerChannel& link) {
  balancer_.room_changed(link);
  flush();
}

}  // namespace handoff

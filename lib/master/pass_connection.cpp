// SPDX-License-Identifier: MIT
#include "master/pass_connection.hpp"

#include "master/worker_channel.hpp"

namespace handoff {

void PassConnection::worker_joined(WorkerChannel& link) {
  balancer_.add(link);
}

void PassConnection::worker_left(WorkerChannel& link) {
  balancer_.remove(link);
}

void PassConnection::worker_gone(WorkerChannel& link, const Departure& how) {
  balancer_.take_back(link, how);
}

}  // namespace handoff

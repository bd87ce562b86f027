// SPDX-License-Identifier: MIT
// The functions of Master that handle the connections of its clients.
#include <fmt/format.h>

#include <exception>
#include <utility>

#include "master/master.hpp"

namespace handoff {

bool Master::has_room() const {
  const std::size_t most = options_.max_connections;
  const bool can_take = sessions_ ? sessions_->has_room() : balancer_.has_room();
  return can_take && custody_->has_room() &&
         (most == 0 || connections() + proxies_.waiting() < most);
}

void Master::accepted(Connection connection) {
  ++accepted_;
  if (serves_clients()) { return sessions_->open(std::move(connection)); }
  // Near the limit the next client waits for the end of a connection, and the worker is asked to
  // report that at once.
  const std::size_t most = options_.max_connections;
  connection.wants_started = most > 0 && 2 * connections() >= most;
  Custody::Hold hold(*custody_, connection.descriptors());
  balancer_.pass({std::move(connection), std::move(hold)});
}

void Master::connection_passed(Connection connection) {
  // The master was told to stop meanwhile: the connection is closed, as idle ones are.
  if (!phases_.goes_on() && !has_handed_over()) { return; }
  if (!serves_clients()) {
    Custody::Hold hold(*custody_, connection.descriptors(), connection.id,
                       connection.unread_size());
    return balancer_.pass({std::move(connection), std::move(hold)});
  }
  try {
    sessions_->open(std::move(connection));
  } catch (const std::exception& error) {
    report_not_taken_(fmt::format("take a connection of the old master: {}", error.what()));
  }
}

/// This is called for connections that the master has served itself.
void Master::connection_closed(std::uint64_t id) {
  if (id != 0 && predecessor_) { predecessor_->finished(id); }
  changed_.notify_all();
  on_room();
}

}  // namespace handoff

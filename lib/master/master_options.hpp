// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "master/balancer.hpp"
#include "master/client_sessions.hpp"
#include "master/successor_process.hpp"
#include "master/supervisor.hpp"
#include "os/address.hpp"

namespace handoff {

/// What a worker is given.
enum class Pass {
  connection,  ///< one accepted socket after another
  listener,    ///< the listening sockets, once
  queue,       ///< memory with requests and replies, once
};

/// The words of the command line.
const char* name_of(Pass pass);
const char* name_of(Balance balance);

struct MasterOptions {
  Pass pass = Pass::connection;
  std::vector<Address> listen;
  bool allow_public = false;
  int workers = 1;
  Balance balance = Balance::round_robin;
  std::size_t max_connections = 0;  ///< 0: no limit
  std::string pidfile;              ///< empty: none
  std::optional<Address> join;      ///< the named socket where workers join
  std::optional<Address> control;   ///< that of the control methods
  std::vector<uid_t> allowed_uids;  ///< besides this process's and root, where users are judged
  SupervisorOptions supervisor;
  ClientSessions::Options queue;
  SuccessorCommand successor;  ///< for an upgrade

  /// How the connections are balanced that the master passes: where workers accept, or the master
  /// serves the clients, only those that are given back.
  Balance balance_of_passed() const;
  /// Whether workers speak messages on their channels.
  bool has_messages() const { return supervisor.handshake == Handshake::full; }
};

}  // namespace handoff

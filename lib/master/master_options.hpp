// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <handoff/os/address.hpp>

#include "master/balancer.hpp"
#include "master/client_sessions.hpp"
#include "master/successor_process.hpp"
#include "master/supervisor.hpp"
#include "os/address_range.hpp"

namespace handoff {

/// What a worker is given.
enum class Pass {
  connection,  ///< accepted sockets, one after the other
  listener,    ///< the listening sockets, once
  queue,       ///< memory with requests and replies, once
};

/// Returns the word of the command line.
const char* name_of(Pass pass);
const char* name_of(Balance balance);

/// How a master works; rpc-master(1) says more about the options.
struct MasterOptions {
  Pass pass = Pass::connection;
  std::vector<Address> listen;
  bool allow_public = false;
  int workers = 1;
  Balance balance = Balance::round_robin;
  std::size_t max_connections = 0;    ///< 0: no limit
  std::vector<AddressRange> proxies;  ///< whose connections begin with the header of a proxy
  std::string pidfile;                ///< empty: none
  std::optional<Address> join;        ///< the named socket where workers join
  std::optional<Address> control;     ///< the named socket of the control methods
  std::optional<Address> status;      ///< where the status is served over HTTP
  std::vector<uid_t> allowed_uids;  ///< users who are admitted besides this process's own and root,
                                    ///< where users are judged
  /// How long the master serves on after it was told to stop, and ends each connection after its
  /// next reply; 0: not at all.
  Duration lame_duck{};
  SupervisorOptions supervisor;
  ClientSessions::Options queue;
  SuccessorCommand successor;  ///< how a successor is started for an upgrade

  /// Returns how the master balances the connections that it passes: where workers accept, or the
  /// master serves the clients, these are only connections that are given back.
  Balance balance_of_passed() const;
  /// Returns whether workers exchange messages on their channels.
  bool has_messages() const { return supervisor.handshake == Handshake::full; }
};

}  // namespace handoff

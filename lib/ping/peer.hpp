// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/address.hpp"
#include "ping/run.hpp"
#include "rpc/client_connection.hpp"

namespace handoff {

/// The server at an address: how connections to it are made.
class PingPeer {
 public:
  /// `run` and `result` must outlive it; the first connection is noted in `result`.
  PingPeer(PingRun& run, Address address, PingResult& result);
  PingPeer(const PingPeer&) = delete;
  PingPeer& operator=(const PingPeer&) = delete;

  /// A new connection, within the limit and the connect timeout; throws as
  /// ClientConnection::connect.
  Task<std::unique_ptr<ClientConnection>> connect(TimeLimit limit);

  /// The first connection. When the server is to be waited for, it has answered a ping on it.
  /// Null when there is none and other addresses are pinged too; otherwise throws Unreachable.
  /// Throws NoLocalPort unless the server is to be waited for.
  /// `ping_params` must outlive the task.
  Task<std::unique_ptr<ClientConnection>> reach(std::string_view ping_params);

  /// The address as the user wrote it.
  const std::string& name() const { return address_.text; }
  /// Whether there ever was a connection.
  bool reached() const { return reached_; }
  /// Why there is none yet, after waiting for so long: "cannot connect to 127.0.0.1:80 within 2s:
  /// Connection refused".
  std::string why_not_within(Duration waited) const;

 private:
  Task<std::unique_ptr<ClientConnection>> try_first_connection(std::string_view ping_params,
                                                               TimeLimit limit);
  Task<void> await_reply(ClientConnection& client, std::string_view ping_params);
  void note_first(int socket, Duration time);

  PingRun& run_;
  Address address_;
  PingResult& result_;
  std::string attempt_;  ///< what was tried last: "cannot connect to 127.0.0.1:80"
  std::string reason_;   ///< why that has failed, as far as is known
  bool reached_ = false;
  bool used_up_ = false;  ///< a descriptor can be connected to once
};

}  // namespace handoff

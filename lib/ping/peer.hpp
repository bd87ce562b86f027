// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/address.hpp"
#include "ping/run.hpp"
#include "rpc/client.hpp"

namespace handoff {

/// The server at one address. It makes the connections to the server, and remembers what is known
/// of the way there.
class PingPeer {
 public:
  /// Stores the numeric address and the connect time of the first connection in `result`. `run` and
  /// `result` must outlive this object.
  PingPeer(PingRun& run, Address address, PingResult& result);
  PingPeer(const PingPeer&) = delete;
  PingPeer& operator=(const PingPeer&) = delete;

  /// Makes a new connection, within the limit and PingOptions::connect_timeout. Throws what
  /// connect_to() throws, and CannotConnect for a descriptor that was used before. This object must
  /// outlive the task.
  Task<std::unique_ptr<Client>> connect(TimeLimit limit);

  /// Makes the first connection. If PingOptions::wait_until_up is set, it tries until the server
  /// has answered a ping on the connection. Returns null if there is no connection and other
  /// addresses are pinged too; otherwise throws Unreachable. Throws NoLocalPort (unless the server
  /// is waited for), ProtocolError if something else than a reply arrives, and, if this is the only
  /// address, SystemError. This object and `ping_params` must outlive the task.
  Task<std::unique_ptr<Client>> reach(std::string_view ping_params);

  /// Returns the address as the user wrote it.
  const std::string& name() const { return address_.text; }
  /// Returns whether there ever was a connection.
  bool reached() const { return reached_; }
  /// Returns why there is no connection yet, after `waited`: "cannot connect to 127.0.0.1:80 within
  /// 2s: Connection refused".
  std::string why_not_within(Duration waited) const;

 private:
  /// Makes one attempt at the first connection, and notes why it failed.
  Task<std::unique_ptr<Client>> try_first_connection(std::string_view ping_params, TimeLimit limit);
  /// Sends one ping and waits for the reply.
  Task<void> await_reply(Client& client, std::string_view ping_params);
  void note_first(int socket, Duration time);

  PingRun& run_;
  Address address_;
  PingResult& result_;
  std::string attempt_;  ///< the last attempt: "cannot connect to 127.0.0.1:80"
  std::string reason_;   ///< why that failed, as far as is known
  bool reached_ = false;
  bool used_up_ = false;  ///< the address is a descriptor, which was used
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <handoff/async/clock.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/os/address.hpp>
#include <handoff/os/fd.hpp>
#include <handoff/rpc/call.hpp>
#include <handoff/wire/limits.hpp>

namespace handoff {

/// A client: one connection to a server, on which any number of coroutines may call at the same
/// time. It is used on its reactor's thread only. A program without a reactor uses BlockingClient.
///
/// Calls are made with the project's own messages, each with an id of its own (see
/// handoff-wire(7)), so that their replies may arrive in any order. A server that does not send ids
/// back can be called too, one call at a time.
///
/// A client never reconnects: once a call has thrown ConnectionLost or ProtocolError, every later
/// call throws the same. Make a new client then. The call that failed may have run, so only the
/// caller can know whether to repeat it.
class Client {
 public:
  /// Connects to `address`, which may be of any kind: the addresses of a host name are tried in a
  /// staggered race (RFC 8305), the descriptor of fd:N is taken over as it is, and exec:COMMAND
  /// runs the command with a socket as its stdin and stdout. The task throws Unreachable if no
  /// server answers there, TimedOut if `deadline` passes first, and SystemError if this process
  /// cannot connect at all, for example for want of descriptors.
  ///
  /// `max_frame` is the most bytes that a reply may have; a longer one ends the connection with
  /// ProtocolError. The reactor must outlive the task and the client.
  static Task<std::unique_ptr<Client>> connect(Reactor& reactor, Address address,
                                               TimePoint deadline = kNever,
                                               std::uint32_t max_frame = limits::kMaxFrame);

  /// Takes over a connected socket that was received or accepted. Error messages name the server by
  /// `name`. The reactor must outlive the client.
  Client(Reactor& reactor, Fd socket, std::string name,
         std::uint32_t max_frame = limits::kMaxFrame);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  /// Ends the calls under way, which throw ConnectionLost in the next turn of the reactor, and then
  /// closes the connection.
  ~Client();

  /// Calls a method, and waits for its reply. `params` is JSON text. The task returns the result,
  /// or the error that the server has replied with: Result::is_error() tells which.
  ///
  /// The task throws TimedOut if `deadline` passes first; the method may still run, and a reply
  /// that arrives later is dropped. It throws ConnectionLost if the server closes the connection or
  /// the connection breaks, ProtocolError if the server sends something that is not a reply to a
  /// call, and InvalidArgument, before it sends anything, if `params` is not JSON.
  ///
  /// Destroying the task gives the call up, just as a deadline does.
  Task<Result> call(std::string method, std::string params = "null", TimePoint deadline = kNever);

 private:
  class Link;

  explicit Client(std::shared_ptr<Link> link);

  std::shared_ptr<Link> link_;  ///< also owned by the tasks that read and write
};

}  // namespace handoff

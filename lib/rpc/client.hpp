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

/// One connection to a server, on which any number of coroutines may call at a time. It is used on
/// its reactor's thread only. BlockingClient is for programs without a reactor.
///
/// Calls are made in the article's dialect with an id each (handoff-wire(7)), and so their replies
/// may come in any order. A server that gives no ids back can be called too, a call at a time.
///
/// A connection is not made anew: once a call has thrown ConnectionLost or ProtocolError, every
/// later one throws the same. Connect again then. Whether to repeat the call, which may have run,
/// is the caller's to know.
class Client {
 public:
  /// Connects to `address`, of any kind: a host name's addresses are raced (RFC 8305), fd:N is
  /// taken over as it is, and exec:COMMAND runs the command with a socket as its stdin and stdout.
  /// The task throws Unreachable when no server answers there, TimedOut when `deadline` passes
  /// first, and SystemError when this process can't connect at all, as for want of descriptors.
  ///
  /// `max_frame` is how many bytes a reply may have; a longer one ends the connection with
  /// ProtocolError. The reactor must outlive the task and the client.
  static Task<std::unique_ptr<Client>> connect(Reactor& reactor, Address address,
                                               TimePoint deadline = kNever,
                                               std::uint32_t max_frame = limits::kMaxFrame);

  /// Takes over a connection that was received or accepted. `name` is how errors name the server.
  Client(Reactor& reactor, Fd socket, std::string name,
         std::uint32_t max_frame = limits::kMaxFrame);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  /// Ends the calls under way, which throw ConnectionLost in the next turn of the reactor, and
  /// closes the connection then at the latest, or with the reactor.
  ~Client();

  /// Calls a method, and waits for its reply. `params` is JSON text. The task gives the result, or
  /// the error that the server has replied with: Result::is_error() tells.
  ///
  /// It throws TimedOut when `deadline` passes first; the method may run all the same, and a reply
  /// that arrives later is dropped. It throws ConnectionLost when the server closes the connection
  /// or it breaks, ProtocolError when the server sends something that is no reply to a call, and
  /// InvalidArgument, before it sends anything, when `params` is not JSON.
  ///
  /// Destroying the task gives the call up, as a deadline does.
  Task<Result> call(std::string method, std::string params = "null", TimePoint deadline = kNever);

 private:
  class Link;

  explicit Client(std::shared_ptr<Link> link);

  std::shared_ptr<Link> link_;  ///< also owned by the tasks that read and write
};

}  // namespace handoff

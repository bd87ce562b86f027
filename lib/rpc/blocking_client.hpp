// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <handoff/async/clock.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>
#include <handoff/os/fd.hpp>
#include <handoff/rpc/call.hpp>
#include <handoff/rpc/client.hpp>
#include <handoff/wire/limits.hpp>

namespace handoff {

/// A client for a program that has no reactor of its own: one connection to a server, whose
/// functions block until they are done or their deadline has passed. It contains a reactor. Only
/// one thread may use it at a time; a program with several threads makes one for each.
///
///     BlockingClient client(Address::parse("127.0.0.1:8080"));
///     const Result reply = client.call("echo", "[1]", Clock::now() + std::chrono::seconds(2));
class BlockingClient {
 public:
  /// Connects, blocking. The parameters and the exceptions are those of Client::connect().
  explicit BlockingClient(Address address, TimePoint deadline = kNever,
                          std::uint32_t max_frame = limits::kMaxFrame);
  /// Takes over a connected socket that was received or accepted. Error messages name the server by
  /// `name`.
  BlockingClient(Fd socket, std::string name, std::uint32_t max_frame = limits::kMaxFrame);
  BlockingClient(const BlockingClient&) = delete;
  BlockingClient& operator=(const BlockingClient&) = delete;
  /// Closes the connection. If it runs a command (exec:COMMAND), the destructor ends the command,
  /// and waits about two seconds for that at most.
  ~BlockingClient();

  /// Calls a method, and blocks until the reply has arrived. Returns the result, or the error that
  /// the server has replied with: Result::is_error() tells which. Throws what Client::call()
  /// throws, and ConnectionLost after close().
  Result call(std::string method, std::string params = "null", TimePoint deadline = kNever);

  /// Closes the connection now instead of in the destructor. Does nothing if it is already closed.
  void close();

 private:
  std::string name_;
  Reactor reactor_;
  std::unique_ptr<Client> client_;  ///< null after close()
};

}  // namespace handoff

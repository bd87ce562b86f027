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

/// One connection to a server, for a program that has no reactor: every function blocks until it is
/// done or its deadline has passed. A reactor is inside. One thread at a time may use it; a program
/// with several threads has a BlockingClient for each.
///
///     BlockingClient client(Address::parse("127.0.0.1:8080"));
///     const Result reply = client.call("echo", "[1]", Clock::now() + std::chrono::seconds(2));
class BlockingClient {
 public:
  /// Connects. It throws what Client::connect() throws, and takes what that takes.
  explicit BlockingClient(Address address, TimePoint deadline = kNever,
                          std::uint32_t max_frame = limits::kMaxFrame);
  /// Takes over a connection that was received or accepted. `name` is how errors name the server.
  BlockingClient(Fd socket, std::string name, std::uint32_t max_frame = limits::kMaxFrame);
  BlockingClient(const BlockingClient&) = delete;
  BlockingClient& operator=(const BlockingClient&) = delete;
  /// Closes the connection. The command of an exec: address is ended, which blocks for at most
  /// about two seconds.
  ~BlockingClient();

  /// Calls a method, and returns its reply: a result, or the error that the server has replied
  /// with. It throws what Client::call() throws, and ConnectionLost after close().
  Result call(std::string method, std::string params = "null", TimePoint deadline = kNever);

  /// Closes the connection before the destructor does. Nothing happens when it is closed already.
  void close();

 private:
  std::string name_;
  Reactor reactor_;
  std::unique_ptr<Client> client_;  ///< none after close()
};

}  // namespace handoff

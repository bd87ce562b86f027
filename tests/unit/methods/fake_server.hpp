// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include <handoff/async/reactor.hpp>
#include <handoff/os/error.hpp>

#include "os/socket.hpp"
#include "rpc/client_connection.hpp"
#include "unit/support.hpp"

namespace handoff::test {

/// The other end of a connection to a server. Tests play the server's part.
struct FakeServer {
  Fd socket;

  bool has_input() const {
    pollfd input{socket.get(), POLLIN, 0};
    return poll(&input, 1, 0) == 1;
  }
  /// All that has come: frames of handoff-wire(7).
  std::string read_input() const {
    std::array<char, 4096> buffer{};
    const ssize_t size = recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return {buffer.data(), size < 0 ? 0 : static_cast<std::size_t>(size)};
  }
  /// Sends a body, which is shorter than 256 bytes, as a frame.
  void send(std::string_view body) const {
    REQUIRE(body.size() < 256);
    const std::string length{static_cast<char>(body.size()), '\0', '\0', '\0'};
    write_text(socket.get(), length + std::string(body));
  }
  void reply(std::string_view result, std::string_view id) const {
    std::string body = R"({"out":"m","result":)" + std::string(result);
    if (!id.empty()) { body += R"(,"id":)" + std::string(id); }
    send(body + "}");
  }
  void reply_error(std::string_view message, std::string_view id) const {
    std::string body =
        R"({"out":"error","result":{"code":-32600,"message":")" + std::string(message) + "\"}";
    if (!id.empty()) { body += R"(,"id":)" + std::string(id); }
    send(body + "}");
  }
};

/// Waits until the server has got something, and gives it.
inline Task<std::string> input_of(Reactor& reactor, const FakeServer& server) {
  while (!server.has_input()) { co_await reactor.yield(); }
  std::string input = server.read_input();
  co_return input;
}

/// A client that is connected to a new server.
inline std::unique_ptr<ClientConnection> connect_to_fake(Reactor& reactor, FakeServer& server) {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  server.socket = std::move(theirs);
  return std::make_unique<ClientConnection>(reactor, DialedSocket{std::move(ours), {}}, "server",
                                            4096);
}

}  // namespace handoff::test

// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/condition.hpp>

#include "os/socket.hpp"
#include "rpc/server_context.hpp"
#include "rpc/session.hpp"
#include "unit/support.hpp"

/// What the tests of a session share.
namespace handoff::test {

/// Returns the next line that the client reads, or what there is when the server has closed it.
inline Task<std::string> read_line(Reactor& reactor, const Fd& client) {
  std::string text;
  std::array<char, 4096> part{};
  while (!text.ends_with('\n')) {
    const ssize_t there = recv(client.get(), part.data(), part.size(), MSG_DONTWAIT | MSG_PEEK);
    if (there < 0 && errno == EAGAIN) {
      co_await reactor.yield();
      continue;
    }
    if (there <= 0) { break; }
    const std::string_view bytes(part.data(), static_cast<std::size_t>(there));
    const std::size_t size = std::min(bytes.find('\n'), bytes.size() - 1) + 1;
    text.append(bytes.substr(0, size));
    REQUIRE(recv(client.get(), part.data(), size, 0) == static_cast<ssize_t>(size));
  }
  co_return text;
}

/// Sessions of one reactor, and clients at the other ends of socket pairs. The methods are "slow",
/// which waits until `go` is set, "kept", which does so also for no client, "big", which gives
/// `kBig` bytes, and "echo", which is instant.
struct Sessions {
  static constexpr std::size_t kBig = 16 << 10;

  explicit Sessions(SessionLimits limits = {}, ServerContext::Shared shared = {})
      : changed(reactor), context(reactor, methods(), limits, owner(), shared) {}

  std::shared_ptr<const MethodTable> methods() {
    auto table = std::make_shared<MethodTable>();
    table->add("slow", [this](const Call&) { return wait_for_go(); });
    table->add(
        "kept", [this](const Call&) { return wait_for_go(); }, Supervision::handler);
    table->add("big", [](const Call&) -> Task<Result> {
      co_return Result::success('"' + std::string(kBig, 'x') + '"');
    });
    table->add_instant("echo", [](const Request& request) { return request.params; });
    return table;
  }

  ServerContext::Owner owner() {
    return {.closed = [this](std::uint64_t, CloseReason why) { reasons.push_back(why); },
            .returned =
                [this](Connection connection) {
                  reasons.push_back(CloseReason::returned);
                  returned.push_back(std::move(connection));
                },
            .failed = [this](std::string_view line) { failures.emplace_back(line); }};
  }

  Task<Result> wait_for_go() {
    ++begun;
    co_await changed.wait_until([this] { return go; });
    co_return Result::success("7");
  }
  void set_go() {
    go = true;
    changed.notify_all();
  }

  /// A new connection, of which these bytes were read elsewhere; its client's end.
  Fd open(std::string unread = {}) {
    auto [server, client] = make_socket_pair(SOCK_STREAM);
    Session::open(context, {.socket = std::move(server), .unread = std::move(unread)});
    return std::move(client);
  }

  Task<std::string> line(const Fd& client) { return read_line(reactor, client); }
  /// Everything that can happen by itself and takes no time has happened.
  Task<void> settle() {
    for (int i = 0; i < 30; ++i) { co_await reactor.yield(); }
  }
  Task<void> until_ended(std::size_t connections = 1) {
    while (reasons.size() < connections) { co_await reactor.yield(); }
  }
  Task<void> until_begun(int calls) {
    while (begun < calls) { co_await reactor.yield(); }
  }

  Reactor reactor;
  Condition changed;
  bool go = false;
  int begun = 0;
  std::vector<CloseReason> reasons;
  std::vector<Connection> returned;
  std::vector<std::string> failures;
  ServerContext context;
};

inline constexpr std::string_view kSlow = "{\"in\":\"slow\"}\n";
inline constexpr std::string_view kSlowWithId = "{\"in\":\"slow\",\"id\":1}\n";
inline constexpr std::string_view kEcho = "{\"in\":\"echo\",\"params\":1}\n";
inline constexpr std::string_view kEchoed = "{\"out\":\"echo\",\"result\":1}\n";
inline constexpr std::string_view kEchoedLast = "{\"out\":\"echo\",\"result\":1,\"last\":true}\n";

}  // namespace handoff::test

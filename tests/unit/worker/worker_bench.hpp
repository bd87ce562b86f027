// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/condition.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "os/socket.hpp"
#include "unit/rpc/session_fixture.hpp"
#include "unit/support.hpp"
#include "worker/worker.hpp"

/// What the tests of a worker share.
namespace handoff::test {

/// A worker, and its master's end of the channel. The methods are "echo", which is instant, and
/// "slow", which waits for ever.
struct WorkerBench {
  explicit WorkerBench(int type = SOCK_SEQPACKET) {
    auto [ours, theirs] = make_socket_pair(type);
    master = std::move(ours);
    channel = std::move(theirs);
    options.credits = 10;
  }

  void make() {
    const auto make_methods = [this](Reactor&) -> MakeMethodTable {
      return [this]() -> std::shared_ptr<const MethodTable> {
        auto table = std::make_shared<MethodTable>();
        table->add_instant("echo", [](const Request& request) { return request.params; });
        table->add("slow", [this](const Call&) -> Task<Result> {
          ++begun;
          co_await never.wait();
          co_return Result::success("1");
        });
        return table;
      };
    };
    worker.emplace(reactor, signals, make_methods, options,
                   [this](Severity, std::string_view line) { lines.emplace_back(line); });
  }
  static Task<void> run_worker(WorkerBench& bench, Task<void> life) {
    co_await std::move(life);
    bench.ended = true;
  }
  void begin(std::vector<Fd> listeners = {}) {
    make();
    reactor.spawn(
        run_worker(*this, worker->run_on_channel(std::move(channel), std::move(listeners))));
  }
  template <typename Steps>
  void run(Steps steps) {
    reactor.run(
        [](WorkerBench& self, Steps& of) -> Task<void> { co_await of(self); }(*this, steps));
    worker.reset();
  }

  /// The next message of the worker.
  Task<channel::Message> next() {
    std::vector<char> packet(channel::kMaxMessage);
    for (;;) {
      ReceiveResult result = recv_fds(master.get(), packet, channel::kMaxDescriptors);
      if (result.outcome == ReceiveOutcome::received) {
        auto message = channel::decode({packet.data(), result.size}, std::move(result.descriptors));
        REQUIRE(message.has_value());
        co_return *std::move(message);
      }
      REQUIRE(result.outcome == ReceiveOutcome::would_block);
      co_await reactor.yield();
    }
  }
  Task<channel::Type> next_type() {
    const channel::Message message = co_await next();
    co_return message.type;
  }
  Task<void> greeted() {
    const channel::Message hello = co_await next();
    CHECK(hello.type == channel::Type::hello);
    CHECK(hello.hello.credits == options.credits);
    const channel::Type second = co_await next_type();
    CHECK(second == channel::Type::ready);
  }
  void send(const std::string& message, const std::vector<int>& descriptors = {}) const {
    CHECK(send_fds(master.get(), message, descriptors).outcome == SendOutcome::sent);
  }
  /// The client of a connection that the worker is given.
  Fd pass(std::uint64_t id) const {
    auto [server, client] = make_socket_pair(SOCK_STREAM);
    Connection connection;
    connection.socket = std::move(server);
    connection.id = id;
    channel::PackedConnections packed(channel::Type::connection);
    CHECK(packed.add(connection));
    send(packed.bytes(), {connection.socket.get()});
    return std::move(client);
  }
  Task<std::string> line(const Fd& client) { return read_line(reactor, client); }
  Task<void> until_ended() {
    while (!ended) { co_await reactor.yield(); }
  }
  Task<void> until_begun() {
    while (begun == 0) { co_await reactor.yield(); }
  }

  SignalMask signals{SIGTERM, SIGHUP, SIGCHLD};
  Reactor reactor;
  Condition never{reactor};
  WorkerOptions options;
  Fd master;
  Fd channel;
  std::vector<std::string> lines;
  int begun = 0;
  bool ended = false;
  std::optional<Worker> worker;
};

}  // namespace handoff::test

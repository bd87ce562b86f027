// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/os/fd.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "master/custody.hpp"
#include "master/worker_channel.hpp"
#include "os/socket.hpp"
#include "pass/channel.hpp"

namespace handoff::test {

/// Lets the tasks go on until they wait for the test. They end with this run of the reactor: what a
/// worker says is heard in the first turn after its channel was made, and not later.
inline void turn(Reactor& reactor) {
  reactor.run([](Reactor& its) -> Task<void> {
    for (int i = 0; i < 5; ++i) { co_await its.yield(); }
  }(reactor));
}

/// A worker's channel, the worker's end of which is the test's.
struct PlayedChannel {
  struct Kind {
    Handshake handshake = Handshake::full;
    WorkerOrigin origin = WorkerOrigin::spawned;
    bool reads_proxies = false;
  };
  PlayedChannel(Reactor& reactor, const std::shared_ptr<Custody>& custody, int number, Kind kind) {
    const bool full = kind.handshake == Handshake::full;
    auto [ours, theirs] = make_socket_pair(full ? SOCK_SEQPACKET : SOCK_STREAM);
    worker = std::move(theirs);
    LifeEvents life;
    life.closed = [this](WorkerChannel&, const Status& how) {
      if (!how.is_ok()) { problem = how.why(); }
    };
    link = std::make_shared<WorkerChannel>(reactor, std::move(life), TrafficEvents{}, custody,
                                           kind.handshake, number, std::move(ours), kind.origin);
    link->start();
    channel::Hello hello;
    hello.credits = 1000;
    hello.calls = 10;
    hello.reads_proxies = kind.reads_proxies;
    if (full) { say(channel::encode_hello(hello)); }
  }
  PlayedChannel(const PlayedChannel&) = delete;
  PlayedChannel& operator=(const PlayedChannel&) = delete;

  /// The worker says this; see turn().
  void say(const std::string& message) const {
    CHECK(send_fds(worker.get(), message, {}).outcome == SendOutcome::sent);
  }
  /// The next message for the worker, if there is one.
  std::optional<channel::Message> hears() const {
    std::vector<char> packet(channel::kMaxMessage);
    ReceiveResult received = recv_fds(worker.get(), packet, channel::kMaxDescriptors);
    if (received.outcome != ReceiveOutcome::received) { return std::nullopt; }
    auto message = channel::decode({packet.data(), received.size}, std::move(received.descriptors));
    REQUIRE(message);
    return message;
  }

  Fd worker;
  std::optional<std::string> problem;  ///< for which the channel was closed
  std::shared_ptr<WorkerChannel> link;
};

}  // namespace handoff::test

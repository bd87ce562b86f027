// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/pass/fd_passing.hpp>

#include "master/custody.hpp"
#include "master/worker_channel.hpp"
#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "pass/queue_record.hpp"
#include "pass/ring.hpp"

namespace handoff {

/// A worker of a queue in the hands of a test: its channel, and once it has opened them its ends of
/// the rings.
class ScriptedQueueWorker {
 public:
  /// One that runs so many requests at a time. Its HELLO has been sent, not received.
  ScriptedQueueWorker(Reactor& reactor, LifeEvents events, std::shared_ptr<Custody> custody,
                      int number, std::uint32_t max_calls,
                      WorkerOrigin origin = WorkerOrigin::spawned) {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    const std::string hello = channel::encode_hello({channel::kVersion, 1, 1000, max_calls});
    CHECK(write(theirs.get(), hello.data(), hello.size()) > 0);
    end_ = std::move(theirs);
    link = std::make_shared<WorkerChannel>(reactor, std::move(events), TrafficEvents{},
                                           std::move(custody), Handshake::full, number,
                                           std::move(ours), origin);
    link->start();
  }

  /// Maps the memories that the master has passed.
  void open_rings() {
    ReceiveResult received = recv_fds(end_.get(), packet_, 2);
    REQUIRE(received.descriptors.size() == 2);
    replies = Mapping::writable(received.descriptors[1].get());
    requests_ = Mapping::read_only(received.descriptors[0].get());
    rings.emplace(Mapping::writable(received.descriptors[1].get()),
                  Mapping::read_only(received.descriptors[0].get()));
  }

  /// How many messages it was sent since the last time: wake-ups, once it has opened the rings.
  int count_messages() {
    int count = 0;
    while (recv(end_.get(), packet_.data(), packet_.size(), MSG_DONTWAIT) > 0) { ++count; }
    return count;
  }

  /// Whether the master takes something back.
  bool has_revocation() const {
    return reinterpret_cast<const RingState*>(requests_.data())->revoked_from != 0;
  }

  /// The method of the next request, or nothing; begun, unless told otherwise or it was taken back.
  std::string take(bool begin = true) {
    const auto record = rings->read(copy_);
    if (!record) { return "nothing"; }
    const auto request = decode_request(*record);
    REQUIRE(request);
    tickets.push_back(request->ticket);
    if (begin && !rings->release_to_begin()) { return "taken back"; }
    return std::string(request->method);
  }
  void reply(std::uint64_t ticket, std::string_view json, std::uint32_t duration = 0) {
    REQUIRE(write_reply(*rings, {ticket, 0, json, "", duration}));
    rings->publish();
  }
  void give_back(std::uint64_t ticket) {
    REQUIRE(write_not_begun(*rings, ticket));
    rings->publish();
  }

  std::shared_ptr<WorkerChannel> link;
  std::optional<RingEnd> rings;
  Mapping replies;                     ///< to spoil them
  std::vector<std::uint64_t> tickets;  ///< of the requests that it has taken

 private:
  Fd end_;
  Mapping requests_;
  std::array<char, 100> packet_{};
  std::string copy_;
};

}  // namespace handoff

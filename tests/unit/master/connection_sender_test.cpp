// SPDX-License-Identifier: MIT
#include "master/connection_sender.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <string>
#include <utility>
#include <vector>

#include <handoff/pass/fd_passing.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Outcome = ConnectionSender::Outcome;

/// A sender, and the worker's end of its channel.
struct Fixture {
  explicit Fixture(Handshake handshake = Handshake::full)
      : ends(make_socket_pair(handshake == Handshake::full ? SOCK_SEQPACKET : SOCK_STREAM)),
        sender(ends.first.get(), handshake, [this](std::size_t connections, int error) {
          failed += connections;
          last_error = error;
        }) {}

  void add(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      sender.add({{.socket = std::move(make_socket_pair(SOCK_STREAM).first)}}, ++last_id);
    }
  }

  /// The ids of the connections in the next message; none when it carries others, or there is none.
  std::vector<std::uint64_t> receive() const {
    std::vector<char> packet(channel::kMaxMessage);
    ReceiveResult result = recv_fds(ends.second.get(), packet, channel::kMaxDescriptors);
    if (result.outcome != ReceiveOutcome::received) { return {}; }
    const auto message =
        channel::decode({packet.data(), result.size}, std::move(result.descriptors));
    REQUIRE(message);
    std::vector<std::uint64_t> ids;
    for (const Connection& connection : message->connections) {
      CHECK(connection.is_complete());
      ids.push_back(connection.id);
    }
    return ids;
  }

  std::pair<Fd, Fd> ends;
  std::size_t failed = 0;
  int last_error = 0;
  std::uint64_t last_id = 0;
  ConnectionSender sender;
};

TEST_CASE("as many connections go in a message as fit, and then the messages") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.add(20);
  fixture.sender.add(channel::encode_drain({}));
  CHECK(fixture.sender.unsent() == 20);
  CHECK(fixture.sender.send() == Outcome::all_sent);
  CHECK(fixture.sender.unsent() == 0);
  CHECK(fixture.sender.unacknowledged() == 20);
  CHECK(fixture.sender.messages() == 0);
  CHECK(fixture.sender.sent() == 20);
  CHECK(fixture.receive().size() == 16);
  CHECK(fixture.receive() == std::vector<std::uint64_t>{17, 18, 19, 20});
}

TEST_CASE("a connection stays until the worker has acknowledged it") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.add(3);
  CHECK_FALSE(fixture.sender.take(2));  // not sent
  CHECK(fixture.sender.send() == Outcome::all_sent);
  const auto second = fixture.sender.take(2);
  REQUIRE(second);
  CHECK(second->connection.id == 2);
  CHECK_FALSE(fixture.sender.take(2));
  fixture.add(1);
  const auto all = fixture.sender.take_all();
  REQUIRE(all.size() == 3);
  CHECK(all[0].connection.id == 1);
  CHECK(all[1].connection.id == 3);
  CHECK(all[2].connection.id == 4);
  CHECK(fixture.sender.unacknowledged() == 0);
}

TEST_CASE("a worker that lacks descriptors gets one connection a message, and more step by step") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.sender.slow_down();
  fixture.add(2);
  CHECK(fixture.sender.send() == Outcome::all_sent);
  CHECK(fixture.receive().size() == 1);
  CHECK(fixture.receive().size() == 1);
  for (const std::size_t most : {2U, 4U, 8U, 16U, 16U}) {
    fixture.sender.speed_up();
    fixture.add(20);
    CHECK(fixture.sender.send() == Outcome::all_sent);
    CHECK(fixture.receive().size() == most);
    while (!fixture.receive().empty()) {}
    fixture.sender.take_all();
  }
}

TEST_CASE("a channel that is full is blocked, and goes on where it was") {
  const test::DescriptorCheck check;
  Fixture fixture;
  const std::string message = channel::encode_requests(0);
  int count = 0;
  while (fixture.sender.send() == Outcome::all_sent) {
    fixture.sender.add(message);
    ++count;
  }
  CHECK(fixture.sender.messages() == 1);
  fixture.add(1);
  CHECK(fixture.sender.send() == Outcome::blocked);
  CHECK(fixture.sender.unsent() == 1);
  for (int i = 0; i < count - 1; ++i) { CHECK(fixture.receive().empty()); }
  CHECK(fixture.sender.send() == Outcome::all_sent);
  CHECK(fixture.receive() == std::vector<std::uint64_t>{1});
}

TEST_CASE("a worker that is gone takes nothing, and what it was not sent can be taken back") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.ends.second.reset();
  fixture.add(2);
  CHECK(fixture.sender.send() == Outcome::closed);
  CHECK(fixture.sender.take_unsent().size() == 2);
  fixture.sender.add(channel::encode_drain({}));
  CHECK(fixture.sender.send() == Outcome::closed);
  CHECK(fixture.failed == 0);
}

TEST_CASE("messages with descriptors are dropped when others take their place") {
  const test::DescriptorCheck check;
  Fixture fixture;
  std::vector<Fd> descriptors;
  descriptors.push_back(std::move(make_socket_pair(SOCK_STREAM).first));
  fixture.sender.add(channel::encode_passing(channel::Type::listener, 1), std::move(descriptors));
  fixture.sender.add(channel::encode_drain({}));
  fixture.sender.drop_descriptors();
  CHECK(fixture.sender.messages() == 1);
}

TEST_CASE("without a handshake each connection goes with one byte, and is let go") {
  const test::DescriptorCheck check;
  Fixture fixture(Handshake::none);
  fixture.add(3);
  CHECK(fixture.sender.send() == Outcome::all_sent);
  CHECK(fixture.sender.unacknowledged() == 0);
  CHECK(fixture.sender.sent() == 3);
  std::vector<char> bytes(16);
  for (int i = 0; i < 3; ++i) {
    const ReceiveResult result = recv_fds(fixture.ends.second.get(), bytes, 1);
    CHECK(result.outcome == ReceiveOutcome::received);
    CHECK(result.size == 1);
    CHECK(bytes[0] == 0);
    CHECK(result.descriptors.size() == 1);
  }
}

}  // namespace
}  // namespace handoff

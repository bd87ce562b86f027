// SPDX-License-Identifier: MIT
#include "master/worker_channel.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A master's end of a channel, and the other end in the hands of the test.
class Channel {
 public:
  enum class Events { all, none };
  explicit Channel(Events events = Events::all) {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    worker_ = std::move(theirs);
    const bool all = events == Events::all;
    link = std::make_shared<WorkerChannel>(reactor_, all ? life_events() : LifeEvents{},
                                           all ? traffic_events() : TrafficEvents{}, custody,
                                           Handshake::full, 1, std::move(ours));
  }

  /// A test's body is a task: what was started runs as long as that.
  void run(Task<void> body) { reactor_.run(std::move(body)); }

  Task<void> turns() {
    for (int i = 0; i < 5; ++i) { co_await reactor_.yield(); }
  }

  /// Until so many have come back, which takes as long as the link waits before it looks again.
  Task<void> wait_for_returned(std::size_t count) {
    while (returned.size() < count) { co_await reactor_.yield(); }
  }

  /// Says HELLO.
  Task<void> greet() {
    link->start();
    send(channel::encode_hello({channel::kVersion, 1, 1000}));
    co_await turns();
  }

  void send(const std::string& message, const std::vector<int>& descriptors = {}) {
    CHECK(send_fds(worker_.get(), message, descriptors).outcome == SendOutcome::sent);
  }

  /// The worker is given so many, and says that it has started them.
  Task<void> give(std::size_t count) {
    co_await greet();
    std::vector<std::uint64_t> ids;
    for (std::size_t i = 0; i < count; ++i) {
      link->pass(
          {{.socket = std::move(make_socket_pair(SOCK_STREAM).first)}, Custody::Hold(*custody, 1)});
      ids.push_back(++last_id_);
    }
    link->flush();
    send(channel::encode_ids(channel::Type::started, ids));
    co_await turns();
  }

  void give_back(std::size_t count) {
    const Fd connection = std::move(make_socket_pair(SOCK_STREAM).first);
    channel::PackedConnections packed(channel::Type::returned);
    while (packed.count() < count) { packed.add(Connection()); }
    send(packed.bytes(), std::vector<int>(count, connection.get()));
  }

  /// The type of the next message that the worker has got.
  channel::Type receive() {
    std::array<char, 4096> packet{};
    const ReceiveResult result = recv_fds(worker_.get(), packet, channel::kMaxDescriptors);
    REQUIRE(result.outcome == ReceiveOutcome::received);
    return channel::decode({packet.data(), result.size})->type;
  }

  void hang_up() { worker_.reset(); }

  bool takers = true;
  std::size_t lost = 0;
  std::ptrdiff_t held = 0;
  std::size_t answers = 0;
  std::vector<std::string> problems;

 private:
  LifeEvents life_events() {
    LifeEvents events;
    events.requests_told = [this](WorkerChannel&) { ++answers; };
    events.closed = [this](WorkerChannel&, const Status& how) {
      problems.push_back(how.is_ok() ? "its end" : how.why());
    };
    return events;
  }
  TrafficEvents traffic_events() {
    TrafficEvents events;
    events.connections_returned = [this](WorkerChannel&, std::vector<HeldConnection> back) {
      std::move(back.begin(), back.end(), std::back_inserter(returned));
    };
    events.connections_lost = [this](WorkerChannel&, std::size_t count) { lost += count; };
    events.assigned_changed = [this](std::ptrdiff_t change) { held += change; };
    events.passes_on = [this] { return takers; };
    return events;
  }

  Reactor reactor_;
  Fd worker_;
  std::uint64_t last_id_ = 0;

 public:
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor_, 1);
  std::vector<HeldConnection> returned;  // which it must outlive
  std::shared_ptr<WorkerChannel> link;
};

TEST_CASE("what a worker returns waits in the channel until there are descriptors for all of it") {
  const test::DescriptorCheck check;
  Channel channel;
  const auto body = [&]() -> Task<void> {
    co_await channel.give(20);
    channel.link->drain({.give_back = true});
    channel.give_back(16);
    channel.give_back(4);
    {
      const test::DescriptorLimit limit(test::next_descriptor() + 10);
      co_await channel.turns();
    }
    CHECK(channel.returned.empty());
    CHECK(channel.problems.empty());
    CHECK(channel.link->open());
    co_await channel.wait_for_returned(20);
    CHECK(channel.link->assigned() == 0);
    CHECK(channel.lost == 0);
    for (const HeldConnection& held : channel.returned) { CHECK(held.connection.is_sound()); }
    channel.returned.clear();
    CHECK(channel.custody->descriptors() == 0);
  };
  channel.run(body());
}

TEST_CASE("no more is taken back than the master may have in its hands") {
  const test::DescriptorCheck check;
  Channel channel;
  const auto body = [&]() -> Task<void> {
    co_await channel.give(64);
    channel.link->drain({.give_back = true});
    channel.custody->set_workers(1'000'000);  // they leave nothing
    for (int i = 0; i < 4; ++i) { channel.give_back(16); }
    co_await channel.turns();
    CHECK(channel.returned.size() == 32);
    channel.returned.erase(channel.returned.begin(), channel.returned.begin() + 16);
    co_await channel.wait_for_returned(32);
    CHECK(channel.link->assigned() == 16);
    channel.custody->set_workers(1);
    co_await channel.wait_for_returned(48);
    CHECK(channel.problems.empty());
    channel.returned.clear();
  };
  channel.run(body());
}

TEST_CASE("what a dead worker has returned is still received when there is room again") {
  const test::DescriptorCheck check;
  Channel channel;
  const auto body = [&]() -> Task<void> {
    co_await channel.give(16);
    channel.link->drain({.give_back = true});
    channel.give_back(16);
    {
      const test::DescriptorLimit limit(test::next_descriptor() + 3);
      co_await channel.turns();
    }
    channel.hang_up();
    co_await channel.wait_for_returned(16);
    CHECK(channel.problems.size() <= 1);
    CHECK(channel.lost == 0);
    channel.returned.clear();
  };
  channel.run(body());
}

TEST_CASE("connections that no one takes are lost when there are no descriptors for them") {
  const test::DescriptorCheck check;
  Channel channel;
  const auto body = [&]() -> Task<void> {
    co_await channel.give(16);
    channel.takers = false;
    channel.link->drain({.give_back = true});
    channel.give_back(16);
    {
      const test::DescriptorLimit limit(test::next_descriptor() + 3);
      co_await channel.turns();
    }
    CHECK(channel.lost == 16);
    CHECK(channel.link->assigned() == 0);
    CHECK(channel.problems.empty());
  };
  channel.run(body());
}

TEST_CASE("a worker that returns connections unasked is not blamed for our want of descriptors") {
  const test::DescriptorCheck check;
  Channel channel;
  const auto body = [&]() -> Task<void> {
    co_await channel.give(16);
    channel.give_back(16);
    {
      const test::DescriptorLimit limit(test::next_descriptor() + 3);
      co_await channel.turns();
    }
    CHECK(channel.lost == 16);
    CHECK(channel.link->assigned() == 0);
    CHECK(channel.problems.empty());
    CHECK(channel.link->open());
  };
  channel.run(body());
}

TEST_CASE("a worker that sends more descriptors than a message may have is blamed") {
  for (const bool drains : {false, true}) {
    CAPTURE(drains);
    Channel channel;
    const auto body = [&]() -> Task<void> {
      co_await channel.give(16);
      if (drains) { channel.link->drain({.give_back = true}); }
      const Fd connection = std::move(make_socket_pair(SOCK_STREAM).first);
      channel::PackedConnections packed(channel::Type::returned);
      while (packed.count() < 16) { packed.add(Connection()); }
      channel.send(packed.bytes(), std::vector<int>(40, connection.get()));
      co_await channel.turns();
      CHECK(channel.problems == std::vector<std::string>{"it sent too much"});
    };
    channel.run(body());
  }
}

TEST_CASE("every change of what a worker holds is told") {
  Channel channel;
  const auto body = [&]() -> Task<void> {
    co_await channel.give(10);
    CHECK(channel.held == 10);
    channel.send(channel::encode_ids(channel::Type::finished, std::vector<std::uint64_t>{1, 2, 3}));
    co_await channel.turns();
    CHECK(channel.held == 7);
    channel.link->drain({.give_back = true});
    channel.give_back(2);
    co_await channel.turns();
    CHECK(channel.held == 5);
    channel.link->pass({});
    CHECK(channel.held == 6);
    CHECK(channel.link->take_unsent().size() == 1);
    CHECK(channel.held == 5);
    CHECK(channel.link->assigned() == 5);
  };
  channel.run(body());
}

TEST_CASE("only a worker whose HELLO says so answers questions") {
  for (const bool answers : {false, true}) {
    Channel channel;
    const auto body = [&]() -> Task<void> {
      channel::Hello hello;
      hello.answers = answers;
      channel.link->start();
      CHECK(!channel.link->answers());
      channel.send(channel::encode_hello(hello));
      co_await channel.turns();
      CHECK(channel.link->answers() == answers);
    };
    channel.run(body());
  }
}

TEST_CASE("a worker is asked whether it answers before all that waits for descriptors in flight") {
  Channel channel;
  const auto body = [&]() -> Task<void> {
    co_await channel.greet();
    channel.link->pass({});
    channel.link->ask_whether_it_answers();
    CHECK(channel.receive() == channel::Type::requests);
    CHECK(!channel.link->has_unread());
    channel.send(channel::encode_requests(7));
    CHECK(channel.link->has_unread());
    co_await channel.turns();
    CHECK(channel.answers == 1);
    CHECK(channel.link->totals().requests == 7);
    CHECK(!channel.link->has_unread());
    channel.link->take_unsent();
  };
  channel.run(body());
}

TEST_CASE("questions that find no room in the channel are not kept") {
  Channel channel;
  const auto body = [&]() -> Task<void> {
    co_await channel.greet();
    for (int i = 0; i < 1000; ++i) { channel.link->ask_whether_it_answers(); }
    CHECK(channel.receive() == channel::Type::requests);
    CHECK(channel.link->open());
    CHECK(channel.problems.empty());
    channel.hang_up();
    channel.link->ask_whether_it_answers();  // and nothing happens
  };
  channel.run(body());
}

TEST_CASE("events that nobody has set are not called, and what is returned then is closed") {
  const test::DescriptorCheck check;
  Channel channel(Channel::Events::none);
  const auto body = [&]() -> Task<void> {
    co_await channel.give(3);
    channel.send(channel::encode_ready());
    channel.send(channel::encode_leave());
    channel.send(channel::encode_requests(7));
    channel.send(channel::encode_passing(channel::Type::listener, 0));
    channel.link->drain({.give_back = true});
    channel.give_back(2);
    co_await channel.turns();
    CHECK(channel.link->totals().requests == 7);
    CHECK(channel.link->assigned() == 1);
    CHECK(channel.custody->descriptors() == 0);
    channel.hang_up();
    co_await channel.turns();
    CHECK(!channel.link->open());
  };
  channel.run(body());
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "master/message_receiver.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Outcome = MessageReceiver::Outcome;
using Returns = MessageReceiver::Returns;

/// A receiver, and the worker's end of its channel.
struct Fixture {
  explicit Fixture(Handshake handshake = Handshake::full)
      : ends(make_socket_pair(handshake == Handshake::full ? SOCK_SEQPACKET : SOCK_STREAM)),
        watcher(reactor, ends.first.get()),
        receiver(std::make_shared<MessageReceiver>(reactor, watcher, ends.first.get(), handshake,
                                                   custody, owner())) {}

  MessageReceiver::Owner owner() {
    return {[] { return Returns::wait; },
            [this](MessageReceiver::Received received) {
              if (received.outcome == Outcome::end) { open = false; }
              taken.push_back(received.outcome);
            },
            [this] { return open; }};
  }

  void say(const std::string& message, const std::vector<int>& descriptors = {}) const {
    CHECK(send_fds(ends.second.get(), message, descriptors).outcome == SendOutcome::sent);
  }
  void return_connections(std::size_t count) const {
    const Fd connection = std::move(make_socket_pair(SOCK_STREAM).first);
    channel::PackedConnections packed(channel::Type::returned);
    while (packed.count() < count) { packed.add(Connection()); }
    say(packed.bytes(), std::vector<int>(count, connection.get()));
  }

  Reactor reactor;
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 1);
  std::pair<Fd, Fd> ends;
  FdWatcher watcher;
  bool open = true;
  std::vector<Outcome> taken;
  std::shared_ptr<MessageReceiver> receiver;
};

TEST_CASE("a receiver tells a message, nothing and the end apart") {
  const test::DescriptorCheck check;
  Fixture fixture;
  CHECK(fixture.receiver->receive(Returns::unexpected).outcome == Outcome::nothing);
  CHECK_FALSE(fixture.receiver->has_unread());
  fixture.say(channel::encode_ready());
  CHECK(fixture.receiver->has_unread());
  const MessageReceiver::Received received = fixture.receiver->receive(Returns::unexpected);
  CHECK(received.outcome == Outcome::message);
  CHECK(received.message.type == channel::Type::ready);
  fixture.ends.second.reset();
  CHECK(fixture.receiver->receive(Returns::unexpected).outcome == Outcome::end);
}

TEST_CASE("what is no message, or too much, is a fault that is told") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.say("nothing");
  MessageReceiver::Received received = fixture.receiver->receive(Returns::unexpected);
  CHECK(received.outcome == Outcome::broken);
  CHECK(received.problem == "it sent no valid message");
  const Fd connection = std::move(make_socket_pair(SOCK_STREAM).first);
  fixture.say(channel::encode_ready(), std::vector<int>(40, connection.get()));
  received = fixture.receiver->receive(Returns::unexpected);
  CHECK(received.outcome == Outcome::broken);
  CHECK(received.problem == "it sent too much");
}

TEST_CASE(
    "connections that are returned wait for descriptors, unless nobody would take them later") {
  const test::DescriptorCheck check;
  Fixture fixture;
  for (const Returns returns : {Returns::wait, Returns::may_be_lost}) {
    fixture.return_connections(8);
    Outcome outcome{};
    {
      const test::DescriptorLimit limit(test::next_descriptor() + 3);
      outcome = fixture.receiver->receive(returns).outcome;
    }
    CHECK(outcome == (returns == Returns::wait ? Outcome::no_room : Outcome::lost));
    CHECK(fixture.receiver->has_unread() == (returns == Returns::wait));
    if (returns == Returns::wait) {
      const MessageReceiver::Received received = fixture.receiver->receive(returns);
      CHECK(received.outcome == Outcome::message);
      CHECK(received.message.connections.size() == 8);
    }
  }
}

TEST_CASE("connections that are returned wait for room in the master's hands, other messages not") {
  const test::DescriptorCheck check;
  Fixture fixture;
  const Custody::Hold most(*fixture.custody, 1, 0, Custody::kMaxUnread);
  for (const Returns returns : {Returns::wait, Returns::unexpected}) {
    fixture.say(channel::encode_ready());
    CHECK(fixture.receiver->receive(returns).outcome == Outcome::message);
  }
  fixture.return_connections(1);
  CHECK(fixture.receiver->receive(Returns::wait).outcome == Outcome::no_room);
  CHECK(fixture.receiver->receive(Returns::unexpected).outcome == Outcome::no_room);
  CHECK(fixture.receiver->receive(Returns::may_be_lost).outcome == Outcome::message);
}

TEST_CASE("a worker that dies with unread messages has what it said still received") {
  const test::DescriptorCheck check;
  Fixture fixture;
  CHECK(send_fds(fixture.ends.first.get(), channel::encode_drain({}), {}).outcome ==
        SendOutcome::sent);
  fixture.say(channel::encode_ready());
  fixture.ends.second.reset();
  fixture.reactor.run(MessageReceiver::run_to_the_end(*fixture.receiver, fixture.receiver));
  CHECK(fixture.taken == std::vector{Outcome::message, Outcome::end});
}

TEST_CASE("without a handshake nothing that a worker says means anything but its end") {
  const test::DescriptorCheck check;
  Fixture fixture(Handshake::none);
  fixture.say("hello");
  CHECK(fixture.receiver->receive(Returns::unexpected).outcome == Outcome::skipped);
  fixture.ends.second.reset();
  fixture.reactor.run(MessageReceiver::run(*fixture.receiver, fixture.receiver));
  CHECK(fixture.taken == std::vector{Outcome::end});
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "master/connection_accounts.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

channel::Message message_of(channel::Type type, std::vector<std::uint64_t> ids) {
  channel::Message message;
  message.type = type;
  message.ids = std::move(ids);
  return message;
}

channel::Message started(std::vector<std::uint64_t> ids) {
  return message_of(channel::Type::started, std::move(ids));
}
channel::Message finished(std::vector<std::uint64_t> ids) {
  return message_of(channel::Type::finished, std::move(ids));
}
channel::Message refused(std::vector<std::uint64_t> ids) {
  return message_of(channel::Type::refused, std::move(ids));
}

/// So many sound connections.
channel::Message returned(std::size_t count) {
  channel::Message message;
  message.type = channel::Type::returned;
  for (std::size_t i = 0; i < count; ++i) {
    message.connections.push_back({.socket = std::move(make_socket_pair(SOCK_STREAM).first)});
  }
  return message;
}

/// A worker that was sent connections 1 to 4.
struct Fixture {
  Fixture()
      : ends(make_socket_pair(SOCK_SEQPACKET)),
        sender(ends.first.get(), Handshake::full, [](std::size_t, int) {}),
        accounts(sender, custody, owner()) {
    for (std::uint64_t id = 1; id <= 4; ++id) {
      sender.add(
          {{.socket = std::move(make_socket_pair(SOCK_STREAM).first)}, Custody::Hold(*custody, 1)},
          id);
    }
    CHECK(sender.send() == ConnectionSender::Outcome::all_sent);
  }

  ConnectionAccounts::Owner owner() {
    return {[] {}, [this](std::size_t count) { accepted += count; },
            [this](std::vector<HeldConnection> held) {
              std::move(held.begin(), held.end(), std::back_inserter(back));
            },
            [this](std::size_t count) { lost += count; },
            [this](const std::vector<std::uint64_t>& ids) {
              deposits_refused.insert(deposits_refused.end(), ids.begin(), ids.end());
            }};
  }

  /// Why the message breaks the protocol; it must.
  std::string fault(channel::Message message) {
    const Status status = accounts.take(std::move(message));
    REQUIRE(!status.is_ok());
    return status.why();
  }
  void take(channel::Message message) { CHECK(accounts.take(std::move(message)).is_ok()); }

  Reactor reactor;
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 1);
  std::pair<Fd, Fd> ends;
  std::size_t accepted = 0;
  std::vector<std::uint64_t> deposits_refused{};
  std::size_t lost = 0;
  std::vector<HeldConnection> back;
  ConnectionSender sender;
  ConnectionAccounts accounts;
};

TEST_CASE("a connection is assigned from when it is passed until it is finished") {
  const test::DescriptorCheck check;
  Fixture fixture;
  CHECK(fixture.accounts.assigned() == 4);
  CHECK(fixture.accounts.acknowledged() == 0);
  fixture.take(started({2, 1}));
  CHECK(fixture.accounts.assigned() == 4);
  CHECK(fixture.accounts.acknowledged() == 2);
  CHECK(fixture.custody->descriptors() == 2);  // the worker has them now
  fixture.take(finished({1, 2}));
  CHECK(fixture.accounts.assigned() == 2);
  CHECK(fixture.accounts.total() == 4);
}

TEST_CASE("a worker may start only what it was sent, once") {
  Fixture fixture;
  const std::string why = "it started a connection that it was not given";
  CHECK(fixture.fault(started({5})) == why);
  fixture.take(started({1}));
  CHECK(fixture.fault(started({1})) == why);
  CHECK(fixture.fault(started({channel::kOwnId | 1})) == why);
}

TEST_CASE("a worker that has listeners counts what it accepts itself") {
  Fixture fixture;
  fixture.accounts.expect_own();
  fixture.take(started({channel::kOwnId | 1, channel::kOwnId | 2, 1}));
  CHECK(fixture.accepted == 2);
  CHECK(fixture.accounts.acknowledged() == 3);
  CHECK(fixture.accounts.total() == 6);
}

TEST_CASE("a worker may finish only as many as it has started") {
  Fixture fixture;
  const std::string why = "it finished more connections than it was given";
  CHECK(fixture.fault(finished({1})) == why);
  fixture.take(started({1}));
  CHECK(fixture.fault(finished({1, 2})) == why);
  CHECK(fixture.accounts.acknowledged() == 1);
}

TEST_CASE("what a worker refuses goes to another, and what it never had does not") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.take(refused({3, 1}));
  REQUIRE(fixture.back.size() == 2);
  CHECK(fixture.back[0].connection.id == 3);
  CHECK(fixture.accounts.assigned() == 2);
  CHECK(fixture.fault(refused({2, 3})) == "it refused a connection that it was not given");
  CHECK(fixture.back.size() == 3);
}

TEST_CASE("what a worker returns is counted as the master's from then on") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.take(started({1, 2, 3}));
  CHECK(fixture.custody->descriptors() == 1);
  fixture.take(returned(2));
  CHECK(fixture.back.size() == 2);
  CHECK(fixture.custody->descriptors() == 3);
  CHECK(fixture.accounts.acknowledged() == 1);
  CHECK(fixture.fault(returned(2)) == "it returned a connection that it did not have");
  CHECK(fixture.back.size() == 3);
  fixture.back.clear();
}

TEST_CASE("a worker may return only connections") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.take(started({1, 2}));
  channel::Message message = returned(1);
  message.connections.front().socket.reset();
  CHECK(fixture.fault(std::move(message)) == "it returned a connection without its descriptor");
  message = returned(1);
  message.connections.front().socket = std::move(make_socket_pair(SOCK_DGRAM).first);
  CHECK(fixture.fault(std::move(message)) == "it returned something that is no connection");
  CHECK(fixture.back.empty());
  CHECK(fixture.accounts.acknowledged() == 2);
}

TEST_CASE("connections without descriptors are lost, as many as the worker had") {
  Fixture fixture;
  fixture.take(started({1, 2}));
  CHECK(fixture.accounts.lose(returned(1)).is_ok());
  CHECK(fixture.lost == 1);
  CHECK(!fixture.accounts.lose(returned(2)).is_ok());
  CHECK(fixture.lost == 1);
  CHECK(fixture.accounts.acknowledged() == 1);
}

}  // namespace
}  // namespace handoff

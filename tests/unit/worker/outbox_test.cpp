// SPDX-License-Identifier: MIT
#include "worker/outbox.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/reactor.hpp>

#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using T = channel::Type;

/// An outbox on a channel that takes what the test lets it take.
struct Fixture {
  Fixture()
      : ends(make_socket_pair(SOCK_SEQPACKET)),
        watcher(reactor, ends.first.get()),
        outbox(std::make_shared<Outbox>(reactor, watcher, owner())) {}

  Outbox::Owner owner() {
    Outbox::Owner owner;
    owner.send = [this](const std::string& message, std::span<const int>) {
      if (room == 0) { return SendResult{SendOutcome::would_block}; }
      --room;
      sent.push_back(channel::decode(message)->type);
      return SendResult{answer};
    };
    owner.has_been_read = [this] { return read; };
    owner.announced = [this](std::vector<Connection> started, SendOutcome outcome) {
      announced += started.size();
      last_outcome = outcome;
    };
    owner.not_spilled = [](const Connection&, int) {};
    owner.not_sent = [](const Connection&, int) {};
    owner.all_sent = [this] { ++all_sent; };
    return owner;
  }

  static Connection connection(std::uint64_t id) {
    Connection connection;
    connection.id = id;
    connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
    return connection;
  }

  /// Runs the outbox while the body runs.
  void run(Task<void> (*body)(Fixture&)) {
    reactor.spawn(Outbox::run(*outbox, outbox));
    reactor.run(body(*this));
    outbox->stop();
    reactor.run(turns(*this));
  }
  static Task<void> turns(Fixture& its) {
    for (int i = 0; i < 5; ++i) { co_await its.reactor.yield(); }
  }

  Reactor reactor;
  std::pair<Fd, Fd> ends;
  FdWatcher watcher;
  std::size_t room = 100;
  bool read = true;
  SendOutcome answer = SendOutcome::sent;
  std::vector<T> sent;
  std::size_t announced = 0;
  SendOutcome last_outcome{};
  int all_sent = 0;
  std::shared_ptr<Outbox> outbox;
};

TEST_CASE("a message is sent at once when nothing is before it") {
  Fixture fixture;
  fixture.outbox->post(channel::encode_ready());
  CHECK(fixture.sent == std::vector{T::ready});
  CHECK(fixture.outbox->is_idle());
}

TEST_CASE("started goes before what is returned, and finished after it") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.run([](Fixture& its) -> Task<void> {
    its.outbox->finished(1);
    its.outbox->give_back(Fixture::connection(2));
    its.outbox->started(channel::kOwnId | 3);
    its.outbox->post(channel::encode_leave());
    CHECK(its.sent.empty());
    CHECK_FALSE(its.outbox->is_idle());
    co_await Fixture::turns(its);
    CHECK(its.sent == std::vector{T::leave, T::started, T::returned, T::finished});
    CHECK(its.outbox->is_idle());
    CHECK(its.all_sent > 0);
  });
}

TEST_CASE("connections are announced when their message was sent, not before") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.run([](Fixture& its) -> Task<void> {
    its.room = 0;
    std::vector<Connection> started;
    started.push_back(Fixture::connection(1));
    its.outbox->post(channel::encode_ids(T::started, std::vector<std::uint64_t>{1}),
                     std::move(started));
    co_await Fixture::turns(its);
    CHECK(its.announced == 0);
    its.room = 1;
    its.answer = SendOutcome::failed;
    while (its.announced == 0) { co_await its.reactor.yield(); }
    CHECK(its.announced == 1);
    CHECK(its.last_outcome == SendOutcome::failed);
  });
}

TEST_CASE("an answer goes after what the worker counts") {
  Fixture fixture;
  fixture.outbox->started(channel::kOwnId | 1);
  fixture.outbox->finished(channel::kOwnId | 1);
  fixture.outbox->post_after_reports(channel::encode_requests(7));
  CHECK(fixture.sent == std::vector{T::started, T::finished, T::requests});
}

TEST_CASE("what is returned waits until the master has read the message before") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.run([](Fixture& its) -> Task<void> {
    its.read = false;
    its.outbox->give_back(Fixture::connection(1));
    co_await Fixture::turns(its);
    its.outbox->give_back(Fixture::connection(2));
    co_await Fixture::turns(its);
    CHECK(its.sent == std::vector{T::returned});
    CHECK_FALSE(its.outbox->is_idle());
    its.read = true;
    its.watcher.interrupt();  // as the kernel does when the other end reads
    while (!its.outbox->is_idle()) { co_await its.reactor.yield(); }
    CHECK(its.sent == std::vector{T::returned, T::returned});
  });
}

TEST_CASE("an outbox that was stopped tells nothing more") {
  Fixture fixture;
  fixture.run([](Fixture& its) -> Task<void> {
    its.outbox->finished(1);
    its.outbox->stop();
    its.outbox->finished(2);
    co_await Fixture::turns(its);
    CHECK(its.all_sent == 0);
    CHECK_FALSE(its.outbox->is_idle());
  });
}

}  // namespace
}  // namespace handoff

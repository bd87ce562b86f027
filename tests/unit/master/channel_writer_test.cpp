// SPDX-License-Identifier: MIT
#include "master/channel_writer.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <utility>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/reactor.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A writer, and the worker's end of its channel.
struct Fixture {
  Fixture()
      : ends(make_socket_pair(SOCK_SEQPACKET)),
        watcher(reactor, ends.first.get()),
        sender(ends.first.get(), Handshake::full, [](std::size_t, int) {}),
        writer(
            std::make_shared<ChannelWriter>(reactor, watcher, ends.first.get(), sender, owner())) {}

  ChannelWriter::Owner owner() {
    return {[this] { ++tried; }, [this] { ++went_on; }, [this] { ++all_sent; },
            [this] { return open; }};
  }

  /// More than the channel takes.
  void fill() {
    while (!writer->is_blocked()) {
      sender.add(channel::encode_requests(0));
      writer->flush(writer);
    }
  }
  bool receive() const {
    std::array<char, 64> bytes{};
    return recv(ends.second.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0;
  }

  Reactor reactor;
  std::pair<Fd, Fd> ends;
  FdWatcher watcher;
  int tried = 0;
  int went_on = 0;
  int all_sent = 0;
  bool open = true;
  ConnectionSender sender;
  std::shared_ptr<ChannelWriter> writer;
};

TEST_CASE("what the channel takes is sent at once") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.sender.add(channel::encode_requests(0));
  fixture.writer->flush(fixture.writer);
  CHECK(fixture.receive());
  CHECK(fixture.tried == 1);
  CHECK(fixture.all_sent == 1);
  CHECK(fixture.went_on == 0);
  CHECK_FALSE(fixture.writer->is_blocked());
}

TEST_CASE("a full channel gets the rest when it is read, and the owner is told") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.fill();
  const int before = fixture.all_sent;
  fixture.reactor.run([](Fixture& its) -> Task<void> {
    for (int i = 0; i < 5; ++i) { co_await its.reactor.yield(); }
    CHECK(its.writer->is_blocked());
    CHECK(its.went_on == 0);
    while (its.writer->is_blocked()) {
      its.receive();
      co_await its.reactor.yield();
    }
  }(fixture));
  CHECK(fixture.went_on == 1);
  CHECK(fixture.all_sent == before + 1);
  CHECK(fixture.sender.messages() == 0);
}

TEST_CASE("a channel that is closed meanwhile gets nothing more") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.fill();
  fixture.reactor.run([](Fixture& its) -> Task<void> {
    its.open = false;
    its.watcher.interrupt();
    while (its.writer->is_blocked()) { co_await its.reactor.yield(); }
  }(fixture));
  CHECK(fixture.went_on == 0);
  CHECK(fixture.sender.messages() == 1);
}

TEST_CASE("a worker that takes nothing more is still heard to the end") {
  const test::DescriptorCheck check;
  Fixture fixture;
  CHECK(send(fixture.ends.second.get(), "last", 4, MSG_NOSIGNAL) == 4);
  shutdown(fixture.ends.second.get(), SHUT_RD);
  fixture.sender.add(channel::encode_requests(0));
  fixture.writer->flush(fixture.writer);
  std::array<char, 8> bytes{};
  CHECK(recv(fixture.ends.first.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) == 4);
  CHECK(recv(fixture.ends.first.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) == 0);
}

}  // namespace
}  // namespace handoff

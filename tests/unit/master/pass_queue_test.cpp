// SPDX-License-Identifier: MIT
#include "master/pass_queue.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>

#include "async/reactor.hpp"
#include "os/error.hpp"
#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "unit/support.hpp"
#include "wire/errors.hpp"

namespace handoff {
namespace {

/// A queue whose connections may bring some 128 KiB.
PassQueue::Options small_queue() {
  PassQueue::Options options;
  options.limits.max_frame = 32 << 10;
  options.limits.max_unsent = 64 << 10;
  options.limits.memory = std::make_shared<MemoryBudget>(64 << 10);
  return options;
}

Connection connection_with(std::size_t unread) {
  Connection connection;
  connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
  connection.unread.assign(unread, 'x');
  return connection;
}

TEST_CASE("work_arrived throws for a connection that can't be taken, and takes the next") {
  const test::DescriptorCheck check;
  Reactor reactor;
  PassQueue queue(
      reactor, small_queue(), [](std::uint64_t) {}, [](std::string_view) {});
  Connection connection;
  SUBCASE("because it brings more than a connection may") {
    connection = connection_with(1 << 20);
    connection.spill_to_memfd();
    CHECK_THROWS_AS(queue.work_arrived({std::move(connection)}), ProtocolError);
  }
  SUBCASE("because its spilled bytes are fewer than was said") {
    connection = connection_with(channel::kMaxUnread + 1);
    connection.spill_to_memfd();
    ++connection.spilled_size;
    CHECK_THROWS_AS(queue.work_arrived({std::move(connection)}), ProtocolError);
  }
  SUBCASE("because its spilled bytes can't be read") {
    connection = connection_with(channel::kMaxUnread + 1);
    connection.spill_to_memfd();
    connection.spilled = std::move(make_socket_pair(SOCK_STREAM).first);
    CHECK_THROWS_AS(queue.work_arrived({std::move(connection)}), SystemError);
  }
  CHECK(queue.serving() == 0);
  queue.work_arrived({connection_with(0)});
  CHECK(queue.serving() == 1);
  reactor.run([](Reactor& loop, PassQueue& its) -> Task<void> {
    its.drain({});
    while (its.serving() > 0) co_await loop.yield();
  }(reactor, queue));
}

}  // namespace
}  // namespace handoff

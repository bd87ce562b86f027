// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <string>
#include <utility>

#include "async/fd_watcher.hpp"
#include "async/stream.hpp"
#include "os/signals.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Outcome = IoResult::Outcome;
using std::chrono::hours;
using std::chrono::milliseconds;

constexpr std::size_t kMany = 4 << 20;

Task<void> yield_often(Reactor& reactor) {
  for (int i = 0; i < 10; ++i) co_await reactor.yield();
}

TEST_CASE("a writer whose reader is gone is broken, not killed") {
  const test::DescriptorCheck check;
  std::signal(SIGPIPE, SIG_IGN);
  Reactor reactor;
  auto [left, right] = make_socket_pair(SOCK_STREAM);
  auto [read_end, write_end] = make_pipe();
  Stream socket(reactor, std::move(left), Stream::Kind::socket);
  Stream pipe(reactor, std::move(write_end), Stream::Kind::shared);
  const std::string bytes(kMany, 'x');
  const auto main = [&, &peer = right, &reader = read_end]() -> Task<void> {
    const auto breaker = [&]() -> Task<void> {
      co_await yield_often(reactor);
      peer.reset();
      reader.reset();
    };
    // Both writers wait for room when it happens.
    reactor.spawn(breaker());
    const IoResult first = co_await socket.write_all(bytes);
    CHECK(first.outcome == Outcome::broken);
    CHECK(first.error_number == EPIPE);
    const IoResult second = co_await pipe.write_all(bytes);
    CHECK(second.outcome == Outcome::broken);
    CHECK(second.error_number == EPIPE);
  };
  reactor.run(main());
  std::signal(SIGPIPE, SIG_DFL);
}

TEST_CASE("a reset by the peer is told to the reader") {
  Reactor reactor;
  auto [left, right] = make_socket_pair(SOCK_STREAM);
  Stream stream(reactor, std::move(left), Stream::Kind::socket);
  CHECK(stream.try_write("never read").done());
  right.reset();
  std::array<char, 16> buffer{};
  const IoResult result = stream.try_read(buffer);
  CHECK(result.outcome == Outcome::broken);
  CHECK(result.error_number == ECONNRESET);
}

TEST_CASE("ending our side leaves the other open") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [left, right] = make_socket_pair(SOCK_STREAM);
  Stream stream(reactor, std::move(left), Stream::Kind::socket);
  stream.end_writing();
  CHECK(test::read_until_end(right.get()).empty());
  test::write_text(right.get(), "reply");
  std::array<char, 16> buffer{};
  CHECK(stream.try_read(buffer).size == 5);
  CHECK(stream.try_write("more").outcome == Outcome::broken);
}

TEST_CASE("an interrupted read or write says so, and can be tried again") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [left, right] = make_socket_pair(SOCK_STREAM);
  Stream stream(reactor, std::move(left), Stream::Kind::socket);
  const std::string bytes(kMany, 'x');
  std::array<char, 16> buffer{};
  const auto interrupter = [&]() -> Task<void> {
    co_await yield_often(reactor);
    stream.interrupt();
  };
  const auto main = [&, peer = right.get()]() -> Task<void> {
    reactor.spawn(interrupter());
    IoResult result = co_await stream.read_some(buffer);
    CHECK(result.outcome == Outcome::would_block);
    reactor.spawn(interrupter());
    result = co_await stream.write_all(bytes);
    CHECK(result.outcome == Outcome::would_block);
    test::write_text(peer, "later");
    result = co_await stream.read_some(buffer);
    CHECK(result.size == 5);
  };
  reactor.run(main());
}

TEST_CASE("a deadline ends a wait, unless it is destroyed before") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [left, right] = make_socket_pair(SOCK_STREAM);
  Stream stream(reactor, std::move(left), Stream::Kind::socket);
  std::array<char, 16> buffer{};
  const auto main = [&, peer = right.get()]() -> Task<void> {
    const TimePoint due = reactor.now() + milliseconds(2);
    {
      const WaitTimeout deadline(stream.watcher(), due);
      const IoResult result = co_await stream.read_some(buffer);
      CHECK(result.outcome == Outcome::would_block);
      CHECK(deadline.passed());
      CHECK(reactor.now() >= due);
    }
    { const WaitTimeout called_off(stream.watcher(), reactor.now() + milliseconds(1)); }
    const auto writer = [&]() -> Task<void> {
      co_await reactor.sleep_until(reactor.now() + milliseconds(3));
      test::write_text(peer, "late");
    };
    reactor.spawn(writer());
    const WaitTimeout far(stream.watcher(), reactor.now() + hours(1));
    const WaitTimeout never(stream.watcher(), kNever);
    const IoResult result = co_await stream.read_some(buffer);
    CHECK(result.size == 4);
    CHECK(!far.passed());
    CHECK(!never.passed());
  };
  reactor.run(main());
}

TEST_CASE("a stream that is dropped while it waits closes its descriptor") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [left, right] = make_socket_pair(SOCK_STREAM);
  const auto waiter = [&](Fd fd) -> Task<void> {
    Stream stream(reactor, std::move(fd), Stream::Kind::socket);
    std::array<char, 16> buffer{};
    (void)co_await stream.read_some(buffer);
  };
  reactor.spawn(waiter(std::move(left)));
  reactor.run(yield_often(reactor));
  CHECK(test::read_until_end(right.get()).empty());
}

}  // namespace
}  // namespace handoff

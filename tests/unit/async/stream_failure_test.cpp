// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <utility>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/os/error.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Outcome = IoResult::Outcome;
using std::chrono::hours;
using std::chrono::milliseconds;

constexpr std::size_t kMany = 4 << 20;

Task<void> yield_often(Reactor& reactor) {
  for (int i = 0; i < 10; ++i) { co_await reactor.yield(); }
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

TEST_CASE("a reset of a TCP connection is a result of reading and of writing, and later an end") {
  const test::DescriptorCheck check;
  Reactor reactor;
  const Listener listener = listen_on(Address::parse("127.0.0.1:0"));
  const SocketAddress address = local_address(listener.fd());
  Fd client = make_socket(address);
  (void)connect(client.get(), address.data(), address.size());
  REQUIRE(test::becomes_readable(listener.fd()));
  Accepted accepted = try_accept(listener.fd());
  REQUIRE(accepted.outcome == Accepted::Outcome::connection);
  const linger at_once{1, 0};
  setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  client.reset();
  Stream stream(reactor, std::move(accepted.fd), Stream::Kind::socket);
  REQUIRE(test::becomes_readable(stream.fd()));
  std::array<char, 16> buffer{};
  const IoResult read = stream.try_read(buffer);
  CHECK(read.outcome == Outcome::broken);
  CHECK(read.error_number == ECONNRESET);
  CHECK(stream.try_read(buffer).outcome == Outcome::end);
  const IoResult written = stream.try_write("x");
  CHECK(written.outcome == Outcome::broken);
  CHECK(written.error_number == EPIPE);
}

TEST_CASE("a write to a socket or a pipe that is read no more is broken with EPIPE") {
  const test::DescriptorCheck check;
  std::signal(SIGPIPE, SIG_IGN);
  Reactor reactor;
  auto [left, right] = make_socket_pair(SOCK_STREAM);
  auto [read_end, write_end] = make_pipe();
  right.reset();
  read_end.reset();
  Stream socket(reactor, std::move(left), Stream::Kind::socket);
  Stream pipe(reactor, std::move(write_end), Stream::Kind::shared);
  for (Stream* stream : {&socket, &pipe}) {
    const IoResult result = stream->try_write("x");
    CHECK(result.outcome == Outcome::broken);
    CHECK(result.error_number == EPIPE);
    CHECK(result.size == 0);
  }
  std::signal(SIGPIPE, SIG_DFL);
}

TEST_CASE("a write to a socket that is read no more raises no signal") {
  Reactor reactor;
  auto [left, right] = make_socket_pair(SOCK_STREAM);
  right.reset();
  Stream stream(reactor, std::move(left), Stream::Kind::socket);
  std::signal(SIGPIPE, SIG_DFL);  // it would end this process
  CHECK(stream.try_write("x").error_number == EPIPE);
}

TEST_CASE("a descriptor that is closed, or open the other way only, throws EBADF") {
  const test::DescriptorCheck check;
  std::array<char, 16> buffer{};
  const auto error_of = [](const auto& attempt) {
    return test::thrown_by<SystemError>(attempt).error_number();
  };
  for (const Stream::Kind kind : {Stream::Kind::shared, Stream::Kind::nonblocking}) {
    Reactor reactor;
    Stream in(reactor, Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)), kind);
    Stream out(reactor, Fd(open("/dev/null", O_WRONLY | O_CLOEXEC)), kind);
    CHECK(error_of([&] { (void)out.try_read(buffer); }) == EBADF);
    CHECK(error_of([&] { (void)in.try_write("x"); }) == EBADF);
  }
  for (const Stream::Kind kind :
       {Stream::Kind::socket, Stream::Kind::shared, Stream::Kind::nonblocking}) {
    Reactor reactor;
    auto [left, right] = make_socket_pair(SOCK_STREAM);
    Stream stream(reactor, std::move(left), kind);
    close(stream.fd());
    CHECK(error_of([&] { (void)stream.try_read(buffer); }) == EBADF);
    CHECK(error_of([&] { (void)stream.try_write("x"); }) == EBADF);
    (void)stream.release().release();
  }
}

TEST_CASE("the wrong end of a pipe throws EBADF, or is never ready if it has to be asked first") {
  Reactor reactor;
  std::array<char, 16> buffer{};
  auto [read_end, write_end] = make_pipe();
  Stream shared_in(reactor, read_end.duplicate(), Stream::Kind::shared);
  Stream shared_out(reactor, write_end.duplicate(), Stream::Kind::shared);
  CHECK(shared_out.try_read(buffer).outcome == Outcome::would_block);
  CHECK(shared_in.try_write("x").outcome == Outcome::would_block);
  Stream in(reactor, std::move(read_end), Stream::Kind::nonblocking);
  Stream out(reactor, std::move(write_end), Stream::Kind::nonblocking);
  CHECK(test::thrown_by<SystemError>([&] { (void)out.try_read(buffer); }).error_number() == EBADF);
  CHECK(test::thrown_by<SystemError>([&] { (void)in.try_write("x"); }).error_number() == EBADF);
}

TEST_CASE("a pipe that is taken for a socket throws ENOTSOCK") {
  Reactor reactor;
  auto [read_end, write_end] = make_pipe();
  Stream in(reactor, std::move(read_end), Stream::Kind::socket);
  Stream out(reactor, std::move(write_end), Stream::Kind::socket);
  std::array<char, 16> buffer{};
  CHECK(test::thrown_by<SystemError>([&] { (void)in.try_read(buffer); }).error_number() ==
        ENOTSOCK);
  CHECK(test::thrown_by<SystemError>([&] { (void)out.try_write("x"); }).error_number() == ENOTSOCK);
}

TEST_CASE("an attempt that finds nothing and no room would block, and says nothing else") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [left, right] = make_socket_pair(SOCK_STREAM);
  Stream stream(reactor, std::move(left), Stream::Kind::socket);
  std::array<char, 16> buffer{};
  CHECK(stream.try_read(buffer).outcome == Outcome::would_block);
  const std::string bytes(kMany, 'x');
  IoResult last = stream.try_write(bytes);
  CHECK(last.done());
  CHECK(last.size < kMany);
  while (last.done()) { last = stream.try_write(bytes); }
  CHECK(last.outcome == Outcome::would_block);
  CHECK(last.size == 0);
  CHECK(stream.try_write("").outcome == Outcome::done);
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

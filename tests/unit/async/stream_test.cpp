// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <handoff/async/stream.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Outcome = IoResult::Outcome;

constexpr std::size_t kMany = 4 << 20;

/// All that comes until the end, and what the last read gave.
Task<std::string> read_all(Stream& stream, Outcome& last) {
  std::string text;
  std::vector<char> buffer(10'000);
  for (;;) {
    const IoResult result = co_await stream.read_some(buffer);
    last = result.outcome;
    if (!result.done()) { co_return text; }
    text.append(buffer.data(), result.size);
  }
}

std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) { bytes[i] = static_cast<char>(i * 31 >> 3); }
  return bytes;
}

/// Writes through one stream and reads from the other at the same time; whether all arrived.
bool carries(Reactor& reactor, std::unique_ptr<Stream> from, std::unique_ptr<Stream> to) {
  const std::string sent = pattern(kMany);
  std::optional<IoResult> written;
  const auto writer = [&]() -> Task<void> {
    written = co_await from->write_all(sent);
    from.reset();
  };
  Outcome last{};
  const auto main = [&]() -> Task<std::string> {
    reactor.spawn(writer());
    const std::string text = co_await read_all(*to, last);
    co_return text;
  };
  const std::string received = reactor.run_for_result(main());
  CHECK(last == Outcome::end);
  CHECK((written && written->done() && written->size == kMany));
  return received == sent;
}

std::unique_ptr<Stream> make_stream(Reactor& reactor, Fd fd, Stream::Kind kind) {
  return std::make_unique<Stream>(reactor, std::move(fd), kind);
}

TEST_CASE("many bytes go through a socket, whose flags stay as they were") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [left, right] = make_socket_pair(SOCK_STREAM);
  const Fd left_copy = left.duplicate();
  const Fd right_copy = right.duplicate();
  const auto writer_done = [&, fd = left_copy.get()] { shutdown(fd, SHUT_WR); };
  const std::string sent = pattern(kMany);
  Stream from(reactor, std::move(left), Stream::Kind::socket);
  Stream to(reactor, std::move(right), Stream::Kind::socket);
  const auto writer = [&]() -> Task<void> {
    const IoResult result = co_await from.write_all(sent);
    CHECK(result.done());
    CHECK(result.size == kMany);
    writer_done();
  };
  Outcome last{};
  const auto main = [&]() -> Task<std::string> {
    reactor.spawn(writer());
    const std::string text = co_await read_all(to, last);
    co_return text;
  };
  const bool same = reactor.run_for_result(main()) == sent;
  CHECK(same);
  CHECK(last == Outcome::end);
  CHECK(!test::is_nonblocking(left_copy.get()));
  CHECK(!test::is_nonblocking(right_copy.get()));
}

TEST_CASE("many bytes go through a pipe, shared or our own") {
  const test::DescriptorCheck check;
  for (const Stream::Kind kind : {Stream::Kind::shared, Stream::Kind::nonblocking}) {
    Reactor reactor;
    auto [read_end, write_end] = make_pipe();
    const Fd copy = read_end.duplicate();
    if (kind == Stream::Kind::nonblocking) {
      set_nonblocking(read_end.get());
      set_nonblocking(write_end.get());
    }
    const int flags = fcntl(read_end.get(), F_GETFL);
    CHECK(carries(reactor, make_stream(reactor, std::move(write_end), kind),
                  make_stream(reactor, std::move(read_end), kind)));
    CHECK(fcntl(copy.get(), F_GETFL) == flags);
  }
}

TEST_CASE("a regular file is written and read to its end") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("f");
  Reactor reactor;
  const std::string sent = pattern(100'000);
  Outcome last{};
  const auto main = [&]() -> Task<std::string> {
    Stream out(reactor, Fd(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
    const IoResult written = co_await out.write_all(sent);
    CHECK(written.done());
    Stream in(reactor, Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC)));
    const std::string text = co_await read_all(in, last);
    co_return text;
  };
  const bool same = reactor.run_for_result(main()) == sent;
  CHECK(same);
  CHECK(last == Outcome::end);
}

TEST_CASE("/dev/null takes everything and gives nothing") {
  const test::DescriptorCheck check;
  Reactor reactor;
  Stream null(reactor, Fd(open("/dev/null", O_RDWR | O_CLOEXEC)));
  const std::string bytes(100'000, 'x');
  const auto main = [&]() -> Task<void> {
    std::array<char, 16> buffer{};
    const IoResult written = co_await null.write_all(bytes);
    CHECK(written.done());
    CHECK(written.size == bytes.size());
    const IoResult read = co_await null.read_some(buffer);
    CHECK(read.outcome == Outcome::end);
  };
  reactor.run(main());
}

TEST_CASE(
    "whatever a descriptor is, one attempt tells whether it would block, is done, at the end or "
    "broken") {
  const test::DescriptorCheck check;
  for (const bool is_socket : {true, false}) {
    Reactor reactor;
    Fd ours;
    Fd theirs;
    if (is_socket) {
      std::tie(ours, theirs) = make_socket_pair(SOCK_STREAM);
    } else {
      Pipe pipe = make_pipe();
      ours = std::move(pipe.read_end);
      theirs = std::move(pipe.write_end);
    }
    const Fd copy = ours.duplicate();
    Stream stream(reactor, std::move(ours));
    std::array<char, 2> buffer{};
    CHECK(stream.try_read(buffer).outcome == Outcome::would_block);
    test::write_text(theirs.get(), "abc");
    CHECK(stream.try_read(buffer).size == 2);
    CHECK(stream.try_read(buffer).size == 1);
    CHECK(buffer[0] == 'c');
    theirs.reset();
    CHECK(stream.try_read(buffer).outcome == Outcome::end);
    CHECK(!test::is_nonblocking(copy.get()));
  }
}

}  // namespace
}  // namespace handoff

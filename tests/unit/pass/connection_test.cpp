// SPDX-License-Identifier: MIT
#include "pass/connection.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>

#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>

#include "os/sealed_memory.hpp"
#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using channel::kMaxUnread;

Connection connection_with(std::string unread) {
  Connection connection;
  connection.id = 7;
  connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
  connection.unread = std::move(unread);
  connection.spill_to_memfd();
  return connection;
}

TEST_CASE("a connection spills more unread bytes than fit into a message, and loads them again") {
  const test::DescriptorCheck check;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, kMaxUnread, kMaxUnread + 1, std::size_t{3'000'000}}) {
    CAPTURE(size);
    const std::string bytes(size, '\xA5');
    Connection connection = connection_with(bytes);
    const bool spills = size > kMaxUnread;
    CHECK(connection.spilled.valid() == spills);
    CHECK(connection.unread.empty() == (spills || size == 0));
    CHECK(connection.unread_size() == size);
    CHECK(connection.descriptors() == (spills ? 2 : 1));
    CHECK(connection.is_sound());
    connection.load_spilled(size);
    CHECK(connection.unread == bytes);
    CHECK(connection.unread_size() == size);
    CHECK(connection.descriptors() == 1);
  }
}

TEST_CASE("a connection whose bytes no file can hold keeps them") {
  const test::DescriptorCheck check;
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit lowered{kMaxUnread, limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &lowered) == 0);
  Connection connection;
  connection.unread.assign(kMaxUnread + 1, 'x');
  const auto error = test::thrown_by<SystemError>([&] { connection.spill_to_memfd(); });
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, before);
  CHECK(error.error_number() == EFBIG);
  CHECK(connection.unread.size() == kMaxUnread + 1);
  CHECK(!connection.spilled.valid());
}

TEST_CASE("spilled bytes that are fewer than was said are an error of the protocol") {
  const test::DescriptorCheck check;
  Connection connection = connection_with(std::string(kMaxUnread + 1, 'x'));
  connection.spilled_size += 1;
  CHECK_THROWS_AS(connection.load_spilled(2 * kMaxUnread), ProtocolError);
}

TEST_CASE("more bytes than one connection may bring are refused, spilled or not") {
  const test::DescriptorCheck check;
  for (const std::size_t size : {std::size_t{100}, kMaxUnread + 1}) {
    Connection connection = connection_with(std::string(size, 'x'));
    CHECK_THROWS_AS(connection.load_spilled(size - 1), ProtocolError);
    CHECK(connection.unread_size() == size);
    connection.load_spilled(size);
    CHECK(connection.unread.size() == size);
  }
}

TEST_CASE("a connection is sound only with a stream socket") {
  const test::DescriptorCheck check;
  Connection connection;
  CHECK_FALSE(connection.is_sound());
  connection.socket = std::move(make_socket_pair(SOCK_SEQPACKET).first);
  CHECK_FALSE(connection.is_sound());
  connection.socket = make_sealed_file("file", "x");
  CHECK_FALSE(connection.is_sound());
  connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
  CHECK(connection.is_sound());
}

TEST_CASE("a connection is not sound with a file that has no memory for its bytes, or can shrink") {
  const test::DescriptorCheck check;
  Connection connection = connection_with(std::string(kMaxUnread + 1, 'x'));
  const std::size_t size = std::size_t{129} << 20;
  SharedMemory sparse = make_memory_to_read("sparse", size);
  connection.spilled = std::move(sparse.file);
  connection.spilled_size = size;
  CHECK_FALSE(connection.is_sound());
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("shrinks");
  test::write_file(path, std::string(kMaxUnread + 1, 'x'));
  connection.spilled = Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  connection.spilled_size = kMaxUnread + 1;
  CHECK_FALSE(connection.is_sound());
}

TEST_CASE("a connection is complete when all descriptors are there that it announces") {
  Connection connection = connection_with("x");
  CHECK(connection.is_complete());
  connection.spilled_size = 1;
  CHECK_FALSE(connection.is_complete());
  connection = connection_with(std::string(kMaxUnread + 1, 'x'));
  CHECK(connection.is_complete());
  connection.socket.reset();
  CHECK_FALSE(connection.is_complete());
}

TEST_CASE("a connection is idle once its client has spoken and been answered") {
  Connection connection = connection_with("");
  CHECK_FALSE(connection.is_idle());
  connection.framing = Framing::length;
  CHECK(connection.is_idle());
  connection.unread = "x";
  CHECK_FALSE(connection.is_idle());
}

}  // namespace
}  // namespace handoff

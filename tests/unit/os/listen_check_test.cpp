// SPDX-License-Identifier: MIT
#include "os/listen_check.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include <handoff/os/error.hpp>

#include "os/listen_on_all.hpp"
#include "os/listener.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

SocketAddress address(const char* text) {
  return Address::parse(text).resolve().front();
}

/// A line of a table in /proc/net, of a socket that listens on port 8080.
std::string line_of(const std::string& words, const char* state = "0A") {
  return fmt::format("   0: {}:1F90 00000000:0000 {} 00000000:00000000 00:00000000 00000000", words,
                     state);
}

const std::string kLoopback = "0100007F";
const std::string kAny = "00000000";
const std::string kLoopback6 = "00000000000000000000000001000000";
const std::string kAny6 = "00000000000000000000000000000000";
const std::string kMapped = "0000000000000000FFFF00000100007F";

TEST_CASE("a listener in the kernel's table is found by its address and its port") {
  CHECK(is_line_of_listener(line_of(kLoopback), address("127.0.0.1:8080")));
  CHECK(is_line_of_listener(line_of(kMapped), address("127.0.0.1:8080")));
  CHECK(is_line_of_listener(line_of(kLoopback6), address("[::1]:8080")));
  CHECK_FALSE(is_line_of_listener(line_of(kLoopback), address("127.0.0.1:8081")));
  CHECK_FALSE(is_line_of_listener(line_of(kLoopback), address("127.0.0.2:8080")));
  CHECK_FALSE(is_line_of_listener(line_of(kLoopback), address("[::1]:8080")));
  CHECK_FALSE(is_line_of_listener(line_of(kLoopback6), address("127.0.0.1:8080")));
}

TEST_CASE("a listener at all addresses is in the way of each, and each of one at all") {
  CHECK(is_line_of_listener(line_of(kAny), address("127.0.0.1:8080")));
  CHECK(is_line_of_listener(line_of(kAny6), address("[::1]:8080")));
  CHECK(is_line_of_listener(line_of(kAny6), address("127.0.0.1:8080")));
  CHECK(is_line_of_listener(line_of(kLoopback), address("0.0.0.0:8080")));
  CHECK(is_line_of_listener(line_of(kLoopback6), address("[::]:8080")));
  CHECK_FALSE(is_line_of_listener(line_of(kAny), address("[::]:8080")));
  CHECK_FALSE(is_line_of_listener(line_of(kLoopback), address("[::]:8080")));
}

TEST_CASE("a socket that does not listen, and the table's head, are no listener") {
  CHECK_FALSE(is_line_of_listener(line_of(kLoopback, "01"), address("127.0.0.1:8080")));
  CHECK_FALSE(is_line_of_listener("  sl  local_address rem_address   st tx_queue rx_queue",
                                  address("127.0.0.1:8080")));
  CHECK_FALSE(is_line_of_listener("", address("127.0.0.1:8080")));
  CHECK_FALSE(is_line_of_listener(line_of("x100007F"), address("127.0.0.1:8080")));
}

TEST_CASE("an abstract name in the kernel's table is found by its type") {
  const std::string line = "0000000000000000: 00000002 00000000 00010000 0001 01 18365 @a b";
  CHECK(is_line_of_name(line, "@a b", SOCK_STREAM));
  CHECK_FALSE(is_line_of_name(line, "@a b", SOCK_SEQPACKET));
  CHECK_FALSE(is_line_of_name(line, "@a", SOCK_STREAM));
  CHECK_FALSE(is_line_of_name("Num       RefCount Protocol Flags    Type St Inode Path", "@a",
                              SOCK_STREAM));
}

TEST_CASE("an address is in use for as long as something listens there, and is not taken") {
  const test::TemporaryDirectory directory;
  for (const std::string& text :
       {std::string("127.0.0.1:0"), fmt::format("@handoff-check-{}", getpid()),
        directory.path("socket")}) {
    CAPTURE(text);
    std::string bound;
    {
      const Listener listener = listen_on(Address::parse(text));
      bound = listener.text();
      const ListenCheck check = check_listen_on(Address::parse(bound));
      CHECK(check.is_in_use);
      CHECK(check.text == bound);
    }
    CHECK_FALSE(check_listen_on(Address::parse(bound)).is_in_use);
    CHECK_NOTHROW(listen_on(Address::parse(bound)));
  }
  CHECK(directory.entries() == 0);
}

TEST_CASE("a listener that was inherited is told by its address, and stays as it is") {
  const Listener listener = listen_on(Address::parse("127.0.0.1:0"), {.blocking = true});
  const int flags = fcntl(listener.fd(), F_GETFL);
  const ListenCheck check = check_listen_on(Address::parse(fmt::format("fd:{}", listener.fd())));
  CHECK(check.text == listener.text());
  CHECK_FALSE(check.is_in_use);
  CHECK(fcntl(listener.fd(), F_GETFL) == flags);
}

TEST_CASE("an address that cannot be listened on fails as listen_on() does") {
  const auto why = [](const auto& listen) -> std::string {
    try {
      listen();
    } catch (const std::exception& error) { return error.what(); }
    return "";
  };
  for (const char* text : {"0.0.0.0:80", "exec:cat", "/none/socket", "/", "fd:99"}) {
    CAPTURE(text);
    const Address at = Address::parse(text);
    const std::string expected = why([&] { (void)listen_on(at); });
    CHECK(!expected.empty());
    CHECK(why([&] { (void)check_listen_on(at); }) == expected);
  }
  const ListenOptions open_to_all{.allow_public = true};
  CHECK_THROWS_AS((void)check_listen_on(Address::parse("192.0.2.1:0"), open_to_all), SystemError);
}

TEST_CASE("each address of a host name is checked that this host has") {
  const auto checks = check_listen_on_all(Address::parse("localhost:0"));
  REQUIRE(!checks.empty());
  CHECK(checks.size() == listen_on_all(Address::parse("localhost:0")).size());
}

}  // namespace
}  // namespace handoff

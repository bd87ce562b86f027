// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <new>
#include <string>
#include <string_view>

#include <handoff/os/address.hpp>
#include <handoff/os/socket_address.hpp>

namespace handoff {
namespace {

SocketAddress numeric(std::string_view text) {
  const auto address = Address::parse(text).without_lookup();
  REQUIRE(address);
  return *address;
}

TEST_CASE("a Unix address has a text, no port, and is as long as its name") {
  const SocketAddress path = numeric("/run/x");
  CHECK(path.family() == AF_UNIX);
  CHECK(path.text() == "/run/x");
  CHECK(path.size() == offsetof(sockaddr_un, sun_path) + 7);

  SocketAddress name = numeric("@x");
  CHECK(name.text() == "@x");
  CHECK(name.size() == offsetof(sockaddr_un, sun_path) + 2);
  name.set_port(80);
  CHECK(name.port() == 0);
  CHECK(name.text() == "@x");

  const sockaddr unnamed{AF_UNIX, {}};
  CHECK(SocketAddress(&unnamed, sizeof unnamed.sa_family).text() == "unix");
  CHECK(SocketAddress().text() == "unknown");
}

TEST_CASE("an address leaves no byte of its storage to chance") {
  alignas(SocketAddress) std::array<char, sizeof(SocketAddress)> storage{};
  storage.fill('@');
  const std::string path(50, 'p');
  const auto* address = new (storage.data()) SocketAddress(SocketAddress::unix_path(path));
  const auto* local = reinterpret_cast<const sockaddr_un*>(address->data());
  for (std::size_t i = path.size(); i < sizeof local->sun_path; ++i) {
    REQUIRE(local->sun_path[i] == '\0');
  }
}

TEST_CASE("a port can be set on both IP families") {
  for (const std::string_view text : {"127.0.0.1:1", "[::1]:1"}) {
    SocketAddress address = numeric(text);
    address.set_port(65535);
    CHECK(address.port() == 65535);
    CHECK(address.text() == std::string(text.substr(0, text.size() - 1)) + "65535");
  }
}

TEST_CASE("loopback is 127/8, ::1, the former mapped, and every Unix address") {
  for (const std::string_view text :
       {"127.0.0.1:1", "127.255.255.255:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "/x", "@x"}) {
    CAPTURE(text);
    CHECK(numeric(text).is_loopback());
  }
  for (const std::string_view text :
       {"0.0.0.0:1", "126.255.255.255:1", "128.0.0.1:1", "10.0.0.127:1", "[::]:1", "[::2]:1",
        "[::ffff:10.0.0.1]:1", "[::127.0.0.1]:1", "[fe80::1]:1"}) {
    CAPTURE(text);
    CHECK(!numeric(text).is_loopback());
  }
}

}  // namespace
}  // namespace handoff

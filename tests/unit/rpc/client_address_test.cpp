// SPDX-License-Identifier: MIT
#include "rpc/client_address.hpp"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace handoff {
namespace {

SocketAddress parsed(const std::string& text) {
  return Address::parse(text).resolve().front();
}

SocketAddress unnamed() {
  const sockaddr address{AF_UNIX, {}};
  return SocketAddress(&address, sizeof address.sa_family);
}

SocketAddress scoped() {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(80);
  address.sin6_flowinfo = htonl(5);
  address.sin6_scope_id = 1;
  address.sin6_addr.s6_addr[0] = 0xFE;
  address.sin6_addr.s6_addr[1] = 0x80;
  address.sin6_addr.s6_addr[15] = 1;
  return SocketAddress(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

std::vector<SocketAddress> of_every_kind() {
  return {parsed("192.0.2.1:65535"),
          parsed("255.255.255.255:65535"),
          parsed("0.0.0.0:0"),
          parsed("[2001:db8::1]:80"),
          parsed("[::ffff:192.0.2.1]:80"),
          scoped(),
          parsed("/" + std::string(106, 'p')),
          parsed("@abstract"),
          unnamed()};
}

bool same(const SocketAddress& one, const SocketAddress& other) {
  return one.size() == other.size() && std::memcmp(one.data(), other.data(), one.size()) == 0;
}

TEST_CASE("an address of any family comes back as it was, before and after its text was asked") {
  for (const SocketAddress& address : of_every_kind()) {
    CAPTURE(address.text());
    ClientAddress client(address);
    CHECK(client.is_known());
    CHECK(same(client.get(), address));
    CHECK(client.text() == address.text());
    const std::string_view text = client.text();
    CHECK(client.text().data() == text.data());
    CHECK(same(client.get(), address));
    ClientAddress moved = std::move(client);
    CHECK(same(moved.get(), address));
    CHECK(moved.text() == address.text());
    CHECK(text == address.text());
  }
}

TEST_CASE("an address that nobody knows is told from every other") {
  ClientAddress nobody{SocketAddress()};
  CHECK_FALSE(nobody.is_known());
  CHECK(nobody.get().family() == AF_UNSPEC);
  CHECK(nobody.text() == SocketAddress().text());
  nobody = ClientAddress(parsed("192.0.2.1:1"));
  CHECK(nobody.is_known());
  CHECK(nobody.text() == "192.0.2.1:1");
}

TEST_CASE("an address takes eight bytes of its session") {
  CHECK(sizeof(ClientAddress) == 8);
}

}  // namespace
}  // namespace handoff

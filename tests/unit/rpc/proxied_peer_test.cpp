// SPDX-License-Identifier: MIT
#include "rpc/proxied_peer.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>

#include <handoff/os/address.hpp>

namespace handoff {
namespace {

const SocketAddress kOwn = Address::parse("10.0.0.9:555").resolve().front();

/// The text of the peer behind a header, or "refused".
std::string peer_text(const std::string& header) {
  const DecodedProxyHeader decoded = decode_proxy_header(header);
  REQUIRE(decoded.outcome == DecodedProxyHeader::Outcome::complete);
  const auto peer = peer_of(decoded.source, kOwn);
  return peer ? peer->text() : "refused";
}

std::string unix_peer_text(std::string_view path) {
  ProxiedSource source;
  source.family = ProxiedSource::Family::unix_socket;
  source.path = path;
  const auto peer = peer_of(source, kOwn);
  return peer ? peer->text() : "refused";
}

TEST_CASE("the address of a header is the peer") {
  CHECK(peer_text("PROXY TCP4 192.0.2.7 10.0.0.1 4660 8080\r\n") == "192.0.2.7:4660");
  CHECK(peer_text("PROXY TCP6 2001:db8::5 ::1 65535 1\r\n") == "[2001:db8::5]:65535");
  CHECK(peer_text("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n") == "0.0.0.0:0");
}

TEST_CASE("an IPv4 address that is mapped into IPv6 is shown as an IPv4 address") {
  CHECK(peer_text("PROXY TCP6 ::ffff:192.0.2.7 ::1 9 1\r\n") == "192.0.2.7:9");
}

TEST_CASE("without an address the peer is that of the socket") {
  CHECK(peer_text("PROXY UNKNOWN\r\n") == "10.0.0.9:555");
}

TEST_CASE("a Unix client is its path or name, or has none") {
  CHECK(unix_peer_text("/run/x.sock") == "/run/x.sock");
  CHECK(unix_peer_text("") == "unix");
  CHECK(unix_peer_text(std::string_view("\0name", 5)) == "@name");
  CHECK(unix_peer_text(std::string_view("/x\0rest", 7)) == "/x");
  const std::string longest(108, 'x');
  CHECK(unix_peer_text(longest) == longest);
}

TEST_CASE("a path that is not text is refused") {
  for (const char* path : {"/a\nb", "/a\x1b[31m", "/\xff", "/\x7f"}) {
    CAPTURE(path);
    CHECK(unix_peer_text(path) == "refused");
  }
  CHECK(unix_peer_text(std::string_view("\0a\0b", 4)) == "refused");
}

}  // namespace
}  // namespace handoff

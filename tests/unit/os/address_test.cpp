// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <net/if.h>

#include <string>
#include <string_view>

#include <handoff/os/address.hpp>
#include <handoff/os/error.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

using Kind = Address::Kind;

std::string refusal(std::string_view text) {
  return test::thrown_by<InvalidArgument>([&] { (void)Address::parse(text); }).what();
}

SocketAddress numeric(std::string_view text) {
  const auto addresses = Address::parse(text).resolve();
  REQUIRE(addresses.size() == 1);
  return addresses.front();
}

TEST_CASE("a TCP address is a host and a port") {
  const Address address = Address::parse("example.org:8080");
  CHECK(address.kind == Kind::tcp);
  CHECK(address.host == "example.org");
  CHECK(address.port == 8080);
  CHECK(address.text == "example.org:8080");
  CHECK(Address::parse("0.0.0.0:0").port == 0);
  CHECK(Address::parse("h:65535").port == 65535);
}

TEST_CASE("an IPv6 host is written in brackets, and again when told") {
  const Address address = Address::parse("[2001:db8::1]:443");
  CHECK(address.kind == Kind::tcp);
  CHECK(address.host == "2001:db8::1");
  CHECK(address.port == 443);
  CHECK(address.text == "[2001:db8::1]:443");
}

TEST_CASE("a port alone is on the loopback address") {
  const Address address = Address::parse(":80");
  CHECK(address.host == "127.0.0.1");
  CHECK(address.port == 80);
  CHECK(address.text == "127.0.0.1:80");
}

TEST_CASE("a path is written with unix:, / or .") {
  for (const std::string_view text : {"unix:/run/x.sock", "/run/x.sock"}) {
    const Address address = Address::parse(text);
    CHECK(address.kind == Kind::unix_path);
    CHECK(address.name == "/run/x.sock");
    CHECK(address.text == "/run/x.sock");
  }
  CHECK(Address::parse("./x").name == "./x");
  CHECK(Address::parse("../x").name == "../x");
  CHECK(Address::parse("unix:x").name == "x");
  CHECK(Address::parse("/tmp/a:80").kind == Kind::unix_path);
}

TEST_CASE("an abstract name, a descriptor and a command are addresses") {
  CHECK(Address::parse("@name").kind == Kind::abstract);
  CHECK(Address::parse("@name").name == "name");
  CHECK(Address::parse("fd:17").kind == Kind::inherited);
  CHECK(Address::parse("fd:17").number == 17);
  CHECK(Address::parse("fd:0").number == 0);
  CHECK(Address::parse("exec:ssh host nc :80").kind == Kind::exec);
  CHECK(Address::parse("exec:ssh host nc :80").name == "ssh host nc :80");
}

TEST_CASE("the text of an address is that address") {
  for (const std::string_view text : {"h:1", "[::1]:1", ":1", "unix:/x", "unix:x", "unix:@x", "/x",
                                      "./x", "../x", "@x", "fd:3", "exec:cat -"}) {
    CAPTURE(text);
    const Address address = Address::parse(text);
    Address again;
    REQUIRE_NOTHROW(again = Address::parse(address.text));
    CHECK(again.kind == address.kind);
    CHECK(again.host == address.host);
    CHECK(again.port == address.port);
    CHECK(again.name == address.name);
    CHECK(again.number == address.number);
    CHECK(again.text == address.text);
  }
}

TEST_CASE("an address without a port is refused with what to write") {
  CHECK(refusal("localhost") ==
        "localhost: no port: write localhost:PORT, or ./localhost for a socket's file");
  CHECK(refusal("[::1]") == "[::1]: no port: write [::1]:PORT");
  CHECK(refusal("") == "'': write host:port, :port, /path, @name or fd:N");
  CHECK(refusal("8080") == "8080: write :8080 for the port, or ./8080 for a socket's file");
  CHECK(refusal("run/s") == "run/s: write ./run/s for a socket's file");
}

TEST_CASE("a URL is refused with the address that it has") {
  CHECK(refusal("http://localhost:80") ==
        "http://localhost:80: write localhost:80, without http://");
  CHECK(refusal("https://h/a:b") == "https://h/a:b: write h:PORT, without https://");
  CHECK(refusal("http://[::1]/") == "http://[::1]/: write [::1]:PORT, without http://");
}

TEST_CASE("an IPv6 address without brackets is refused") {
  const std::string why = ": an IPv6 address is written in brackets, [::1]:port";
  CHECK(refusal("::1:80") == "::1:80" + why);
  CHECK(refusal("[::1]80") == "[::1]80" + why);
  CHECK(refusal("[::1:80") == "[::1:80" + why);
}

TEST_CASE("a port that is no number from 0 to 65535 is refused") {
  for (const std::string text : {"h:", ":", "h:65536", "h:-1", "h:+1", "h:80x", "h: 80", "h:http",
                                 "h:0x50", "h:99999999999999999999"}) {
    CHECK(refusal(text) == text + ": the port is a number from 0 to 65535");
  }
}

TEST_CASE("a descriptor that is no number is refused") {
  for (const std::string text : {"fd:", "fd:-1", "fd:x", "fd:3x", "fd:4294967296"}) {
    CHECK(refusal(text) == text + ": fd: is followed by a descriptor's number");
  }
}

TEST_CASE("an empty command is refused") {
  CHECK(refusal("exec:") == "exec:: exec: is followed by a command");
}

TEST_CASE("a name that a Unix address has no room for is refused") {
  const std::string path = "/" + std::string(106, 'p');
  CHECK(Address::parse(path).name == path);
  CHECK(refusal(path + "p") == path + "p: a socket's path has 1 to 107 bytes");
  CHECK(refusal("unix:") == "'': a socket's path has 1 to 107 bytes");

  const std::string name(107, 'n');
  CHECK(Address::parse("@" + name).name == name);
  CHECK(refusal("@" + name + "n") == name + "n: an abstract name has 1 to 107 bytes");
  CHECK(refusal("@") == "'': an abstract name has 1 to 107 bytes");
}

TEST_CASE("a numeric host is resolved without a look-up") {
  const SocketAddress v4 = numeric("192.0.2.1:80");
  CHECK(v4.family() == AF_INET);
  CHECK(v4.port() == 80);
  CHECK(v4.size() == sizeof(sockaddr_in));
  CHECK(v4.text() == "192.0.2.1:80");

  const SocketAddress v6 = numeric("[2001:DB8:0::1]:443");
  CHECK(v6.family() == AF_INET6);
  CHECK(v6.port() == 443);
  CHECK(v6.size() == sizeof(sockaddr_in6));
  CHECK(v6.text() == "[2001:db8::1]:443");
}

TEST_CASE("a name that no name service can know is unreachable") {
  // A label has at most 63 bytes (RFC 1035), so that no server is asked.
  const std::string text = std::string(64, 'x') + ".invalid:80";
  const auto error = test::thrown_by<Unreachable>([&] { (void)Address::parse(text).resolve(); });
  CHECK(std::string_view(error.what())
            .starts_with("cannot look up " + std::string(64, 'x') + ".invalid: "));
}

TEST_CASE(
    "the zone of an address is part of its text, by the name of the interface or its number") {
  const std::string text = "[fe80::1%lo]:80";
  CHECK(Address::parse(text).text == text);
  const auto named = Address::parse(text).without_lookup();
  REQUIRE(named);
  CHECK(named->text() == text);
  const std::string number = std::to_string(if_nametoindex("lo"));
  CHECK(Address::parse("[fe80::1%" + number + "]:80").without_lookup()->text() == text);
  CHECK(Address::parse("[fe80::1%1999999999]:80").without_lookup()->text() ==
        "[fe80::1%1999999999]:80");
}

TEST_CASE("a zone that no interface has is left to the name service") {
  CHECK(!Address::parse("[fe80::1%no-interface]:80").without_lookup());
}

TEST_CASE("only the name of a host has to be looked up") {
  CHECK(Address::parse("127.0.0.1:80").without_lookup()->text() == "127.0.0.1:80");
  CHECK(Address::parse("./s").without_lookup()->text() == "./s");
  CHECK(Address::parse("@name").without_lookup()->text() == "@name");
  CHECK(!Address::parse("localhost:80").without_lookup());
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "os/address_range.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include <handoff/os/address.hpp>
#include <handoff/os/error.hpp>

namespace handoff {
namespace {

bool contains(std::string_view range, std::string_view address) {
  return AddressRange::parse(range).contains(Address::parse(address).resolve().front());
}

std::string refusal(std::string_view text) {
  try {
    AddressRange::parse(text);
  } catch (const InvalidArgument& error) { return error.what(); }
  return "accepted";
}

TEST_CASE("an IPv4 range contains the addresses with its first bits") {
  CHECK(contains("10.0.0.0/8", "10.255.3.4:1"));
  CHECK_FALSE(contains("10.0.0.0/8", "11.0.0.0:1"));
  CHECK(contains("192.168.4.0/22", "192.168.7.255:1"));
  CHECK_FALSE(contains("192.168.4.0/22", "192.168.8.0:1"));
  CHECK(contains("0.0.0.0/0", "203.0.113.9:1"));
  CHECK_FALSE(contains("0.0.0.0/0", "[::1]:1"));
  CHECK_FALSE(contains("0.0.0.0/0", "/run/x.sock"));
}

TEST_CASE("an IPv6 range contains the addresses with its first bits") {
  CHECK(contains("fd00::/8", "[fdff::1]:1"));
  CHECK_FALSE(contains("fd00::/8", "[fe00::1]:1"));
  CHECK(contains("2001:db8:0:4000::/51", "[2001:db8:0:5fff::1]:1"));
  CHECK_FALSE(contains("2001:db8:0:4000::/51", "[2001:db8:0:6000::1]:1"));
  CHECK(contains("::/0", "[::1]:1"));
  CHECK_FALSE(contains("::/0", "127.0.0.1:1"));
}

TEST_CASE("an address alone is a range of one") {
  CHECK(contains("::1", "[::1]:9"));
  CHECK_FALSE(contains("::1", "[::2]:9"));
  CHECK(contains("127.0.0.1", "127.0.0.1:9"));
  CHECK_FALSE(contains("127.0.0.1", "127.0.0.2:9"));
}

TEST_CASE("an IPv4 address that is mapped into IPv6 counts as IPv4, on both sides") {
  CHECK(contains("10.0.0.0/8", "[::ffff:10.1.2.3]:1"));
  CHECK_FALSE(contains("10.0.0.0/8", "[::ffff:11.1.2.3]:1"));
  CHECK(contains("::ffff:10.0.0.0/104", "10.1.2.3:1"));
  CHECK(contains("::ffff:10.0.0.1", "[::ffff:10.0.0.1]:1"));
  CHECK_FALSE(contains("::/0", "[::ffff:10.0.0.1]:1"));
}

TEST_CASE("the word unix contains every Unix socket and nothing else") {
  const AddressRange range = AddressRange::parse("unix");
  const sa_family_t unnamed = AF_UNIX;
  CHECK(range.contains(SocketAddress(reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed)));
  CHECK(range.contains(SocketAddress::unix_path("/run/x.sock")));
  CHECK_FALSE(contains("unix", "127.0.0.1:1"));
}

TEST_CASE("an address that is not known is in no range") {
  for (const char* range : {"0.0.0.0/0", "::/0", "unix"}) {
    CHECK_FALSE(AddressRange::parse(range).contains(SocketAddress()));
  }
}

TEST_CASE("one of several ranges is enough") {
  const std::vector<AddressRange> ranges = {AddressRange::parse("unix"),
                                            AddressRange::parse("10.0.0.0/8")};
  CHECK(any_contains(ranges, SocketAddress::unix_path("/x")));
  CHECK(any_contains(ranges, Address::parse("10.0.0.1:1").resolve().front()));
  CHECK_FALSE(any_contains(ranges, Address::parse("127.0.0.1:1").resolve().front()));
  CHECK_FALSE(any_contains({}, SocketAddress::unix_path("/x")));
}

TEST_CASE("ranges are read from the text that they are written as") {
  const std::string text = "unix 10.0.0.0/8 ::1";
  const std::vector<AddressRange> ranges = parse_ranges(text);
  CHECK(ranges.size() == 3);
  CHECK(text_of(ranges) == text);
  CHECK(any_contains(ranges, Address::parse("[::1]:1").resolve().front()));
  CHECK(parse_ranges("").empty());
  CHECK(text_of({}).empty());
  CHECK_THROWS_AS(parse_ranges("unix  ::1"), InvalidArgument);
}

TEST_CASE("a text that is no range is refused with how it is written") {
  const std::string advice = ": write addresses such as 10.0.0.0/8, 192.0.2.7 or fd00::/8, or unix";
  for (const char* text : {"10.0.0", "10.0.0.0.0", "localhost", "10.0.0.1:80", "[::1]", "Unix",
                           "/8", "010.0.0.1", "fe80::1%lo"}) {
    CHECK(refusal(text) == text + advice);
  }
  CHECK(refusal("") == "''" + advice);
}

TEST_CASE("a number of bits beyond the address is refused") {
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x"}) {
    CHECK(refusal(text) ==
          std::string(text) + ": write a number of bits from 0 to 32 after the slash");
  }
  CHECK(refusal("::/129") == "::/129: write a number of bits from 0 to 128 after the slash");
}

TEST_CASE("a range whose address has further bits is refused, because it is a mistake") {
  for (const char* text :
       {"10.0.0.1/8", "192.168.7.0/22", "fd00::1/64", "2001:db8:0:6000::/50", "1.0.0.0/0"}) {
    CHECK(refusal(text) ==
          std::string(text) +
              ": the address has bits beyond those that the number after the slash counts");
  }
}

}  // namespace
}  // namespace handoff

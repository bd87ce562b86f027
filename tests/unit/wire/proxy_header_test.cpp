// SPDX-License-Identifier: MIT
#include "wire/proxy_header.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include <handoff/wire/limits.hpp>

namespace handoff {
namespace {

using std::operator""s;

using Outcome = DecodedProxyHeader::Outcome;
using Family = ProxiedSource::Family;

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::string_view kRest = "{\"in\":\"ping\"}\nPROXY \r\n";

/// A header of version 2. The length is that of the block unless it is given.
std::string binary(int command, int family, std::string_view block, int length = -1) {
  const auto size = length < 0 ? static_cast<int>(block.size()) : length;
  std::string header(kSignature);
  header += static_cast<char>(command);
  header += static_cast<char>(family);
  header += static_cast<char>(size >> 8);
  header += static_cast<char>(size & 0xFF);
  return header.append(block);
}

std::string ipv4_block() {
  return std::string("\xC0\x00\x02\x07\x0A\x00\x00\x01\x12\x34\x1F\x90", 12);
}
std::string ipv6_block() {
  std::string block("\x20\x01\x0D\xB8", 4);
  return block.append(11, '\0').append(1, '\5').append(16, '\1').append("\x12\x34\x1F\x90");
}
std::string unix_block(std::string_view path) {
  std::string block(path);
  block.resize(108, '\0');
  return block.append("/of/the/proxy").append(108 - 13, '\0');
}

/// Decodes a whole header with more bytes after it.
ProxiedSource source_of(const std::string& header) {
  const DecodedProxyHeader decoded = decode_proxy_header(header + std::string(kRest));
  CAPTURE(header);
  CAPTURE(decoded.why);
  REQUIRE(decoded.outcome == Outcome::complete);
  CHECK(decoded.size == header.size());
  return decoded.source;
}

void check_malformed(const std::string& bytes, std::string_view why) {
  CAPTURE(bytes);
  const DecodedProxyHeader decoded = decode_proxy_header(bytes);
  CHECK(decoded.outcome == Outcome::malformed);
  CHECK(decoded.why == why);
}

TEST_CASE("a line of TCP4 tells an IPv4 address and a port") {
  const ProxiedSource source = source_of("PROXY TCP4 192.0.2.7 10.0.0.1 4660 8080\r\n");
  CHECK(source.family == Family::ipv4);
  CHECK(std::vector<int>(source.address.begin(), source.address.begin() + 4) ==
        std::vector<int>{192, 0, 2, 7});
  CHECK(source.port == 0x1234);
}

TEST_CASE("a line of TCP6 tells an IPv6 address and a port") {
  const ProxiedSource source = source_of("PROXY TCP6 2001:DB8::5 ::1 65535 0\r\n");
  CHECK(source.family == Family::ipv6);
  CHECK(source.address[1] == 1);
  CHECK(source.address[15] == 5);
  CHECK(source.port == 65535);
}

TEST_CASE("a line of UNKNOWN tells no address, whatever stands on it") {
  for (const char* line :
       {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN \r\n", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
        "PROXY UNKNOWN \r of any kind\r\n"}) {
    CHECK(source_of(line).family == Family::none);
  }
}

TEST_CASE("a block of a TCP connection tells an address and a port") {
  const ProxiedSource v4 = source_of(binary(0x21, 0x11, ipv4_block()));
  CHECK(v4.family == Family::ipv4);
  CHECK(v4.address[0] == 192);
  CHECK(v4.address[3] == 7);
  CHECK(v4.port == 0x1234);
  const ProxiedSource v6 = source_of(binary(0x21, 0x21, ipv6_block()));
  CHECK(v6.family == Family::ipv6);
  CHECK(v6.address[0] == 0x20);
  CHECK(v6.address[15] == 5);
  CHECK(v6.port == 0x1234);
}

TEST_CASE("a block of a Unix connection tells the path without the zeros at its end") {
  const ProxiedSource named = source_of(binary(0x21, 0x31, unix_block("/run/client.sock")));
  CHECK(named.family == Family::unix_socket);
  CHECK(named.path == "/run/client.sock");
  CHECK(source_of(binary(0x21, 0x31, unix_block(""))).path.empty());
  const std::string_view abstract("\0name", 5);
  CHECK(source_of(binary(0x21, 0x31, unix_block(abstract))).path == abstract);
  const std::string longest(108, 'x');
  CHECK(source_of(binary(0x21, 0x31, unix_block(longest))).path == longest);
}

TEST_CASE("LOCAL, UNSPEC and datagrams tell no address") {
  CHECK(source_of(binary(0x20, 0x00, "")).family == Family::none);
  CHECK(source_of(binary(0x20, 0x11, ipv4_block())).family == Family::none);
  CHECK(source_of(binary(0x20, 0x11, "short")).family == Family::none);
  CHECK(source_of(binary(0x21, 0x00, "")).family == Family::none);
  CHECK(source_of(binary(0x21, 0x10, ipv4_block())).family == Family::none);
  CHECK(source_of(binary(0x21, 0x01, "anything")).family == Family::none);
  CHECK(source_of(binary(0x21, 0x12, ipv4_block())).family == Family::none);
}

TEST_CASE("what follows the addresses in a block is skipped") {
  const std::string more = std::string("\x04\x00\x03", 3) + "abc";
  CHECK(source_of(binary(0x21, 0x11, ipv4_block() + more)).port == 0x1234);
  const std::string longest(limits::kMaxProxyBlock - 12, '\xFF');
  CHECK(source_of(binary(0x21, 0x11, ipv4_block() + longest)).port == 0x1234);
}

TEST_CASE("a header that is cut anywhere is partial, and all of it belongs to the header") {
  for (const std::string& header :
       {std::string("PROXY TCP4 192.0.2.7 10.0.0.1 4660 8080\r\n"),
        std::string("PROXY UNKNOWN\r\n"), binary(0x20, 0, ""), binary(0x21, 0x11, ipv4_block()),
        binary(0x21, 0x21, ipv6_block() + "more"), binary(0x21, 0x31, unix_block("/x"))}) {
    for (std::size_t size = 0; size < header.size(); ++size) {
      CAPTURE(size);
      const DecodedProxyHeader decoded = decode_proxy_header(header.substr(0, size));
      CHECK(decoded.outcome == Outcome::partial);
      CHECK(decoded.size == size);
    }
    source_of(header);
  }
}

TEST_CASE("bytes that begin no header are malformed at the first that differs") {
  for (const char* bytes : {"G", "{", "PROXX", "PROXY\t", "PROXY\r\n", "proxy ", " PROXY "}) {
    check_malformed(bytes, "it begins in another way");
  }
  for (std::size_t at = 0; at < kSignature.size(); ++at) {
    std::string bytes(kSignature.substr(0, at + 1));
    bytes.back() = 'x';
    check_malformed(bytes, "it begins in another way");
  }
}

TEST_CASE("a line ends in CRLF within 107 bytes") {
  const std::string unknown = "PROXY UNKNOWN ";
  const std::string longest =
      unknown + std::string(limits::kMaxProxyLine - unknown.size() - 2, 'x') + "\r\n";
  CHECK(longest.size() == limits::kMaxProxyLine);
  source_of(longest);
  check_malformed(unknown + std::string(limits::kMaxProxyLine - unknown.size() - 1, 'x') + "\r\n",
                  "the line is too long");
  check_malformed(std::string(unknown + std::string(200, 'x')), "the line is too long");
  check_malformed("PROXY UNKNOWN\n", "the line does not end in CRLF");
  check_malformed("PROXY \n", "the line does not end in CRLF");
}

TEST_CASE("a line of another protocol is malformed") {
  for (const char* line : {"PROXY \r\n", "PROXY TCP\r\n", "PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n",
                           "PROXY tcp4 1.2.3.4 1.2.3.4 1 1\r\n", "PROXY  TCP4 1.2.3.4 1 1\r\n",
                           "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n", "PROXY UNKNOWNS\r\n"}) {
    check_malformed(line, "the protocol is not known");
  }
}

TEST_CASE("a line with an address or a port that is not written canonically is malformed") {
  for (const char* words : {"TCP4",
                            "TCP4 1.2.3.4",
                            "TCP4 1.2.3.4 1.2.3.4",
                            "TCP4 1.2.3.4 1.2.3.4 1",
                            "TCP4 1.2.3.4 1.2.3.4 1 1 ",
                            "TCP4 1.2.3.4 1.2.3.4 1 1 1",
                            "TCP4 1.2.3.4  1.2.3.4 1 1",
                            "TCP4 1.2.3.04 1.2.3.4 1 1",
                            "TCP4 1.2.3 1.2.3.4 1 1",
                            "TCP4 1.2.3.256 1.2.3.4 1 1",
                            "TCP4 ::1 ::1 1 1",
                            "TCP6 1.2.3.4 1.2.3.4 1 1",
                            "TCP6 ::1 1.2.3.4 1 1",
                            "TCP6 fe80::1%lo ::1 1 1",
                            "TCP6 :::1 ::1 1 1",
                            "TCP4 1.2.3.4 1.2.3.4 65536 1",
                            "TCP4 1.2.3.4 1.2.3.4 1 65536",
                            "TCP4 1.2.3.4 1.2.3.4 01 1",
                            "TCP4 1.2.3.4 1.2.3.4 -1 1",
                            "TCP4 1.2.3.4 1.2.3.4 +1 1",
                            "TCP4 1.2.3.4 1.2.3.4 1 1\r",
                            "TCP4 localhost 1.2.3.4 1 1"}) {
    check_malformed(std::string("PROXY ") + words + "\r\n",
                    "the addresses of the line are not valid");
  }
  check_malformed("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 1\r\n"s,
                  "the addresses of the line are not valid");
}

TEST_CASE("a version, a command or a family that is not defined is malformed") {
  check_malformed(binary(0x11, 0x11, ipv4_block()), "the version is not known");
  check_malformed(std::string(kSignature) + '\x31', "the version is not known");
  check_malformed(binary(0x22, 0x11, ipv4_block()), "the command is not known");
  check_malformed(binary(0x21, 0x41, ipv4_block()), "the family of the addresses is not known");
  check_malformed(binary(0x21, 0x13, ipv4_block()), "the family of the addresses is not known");
}

TEST_CASE("a block that is too short for its addresses is malformed") {
  check_malformed(binary(0x21, 0x11, ipv4_block().substr(1)),
                  "the block is too short for its addresses");
  check_malformed(binary(0x21, 0x21, ipv6_block().substr(1)),
                  "the block is too short for its addresses");
  check_malformed(binary(0x21, 0x31, unix_block("/x").substr(1)),
                  "the block is too short for its addresses");
}

TEST_CASE("a block beyond the limit is malformed before its bytes have arrived") {
  check_malformed(binary(0x21, 0x11, "", limits::kMaxProxyBlock + 1), "the block is too long");
  check_malformed(binary(0x20, 0x00, "", 65535), "the block is too long");
}

}  // namespace
}  // namespace handoff

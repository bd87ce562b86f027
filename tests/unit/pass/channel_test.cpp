// SPDX-License-Identifier: MIT
#include "pass/channel.hpp"

#include <doctest/doctest.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "os/address.hpp"

namespace handoff::channel {
namespace {

using std::operator""s;
using std::operator""sv;

SocketAddress peer(std::string_view text) {
  return Address::parse(text).resolve().front();
}

SocketAddress unnamed_peer() {
  const sockaddr unnamed{AF_UNIX, {}};
  return SocketAddress(&unnamed, sizeof unnamed.sa_family);
}

/// One of each kind of packet, with all that it can carry.
std::vector<std::string> valid_packets() {
  const std::array<std::uint64_t, 3> ids = {1, 2, 3};
  const std::array<Entry, 2> entries = {Entry{7, peer("127.0.0.1:80"), "read"},
                                        Entry{8, peer("/run/x"), ""}};
  return {encode_hello({kVersion, 123, 16}), encode_ready(),
          encode_entries(Type::connection, entries), encode_ids(Type::finished, ids),
          encode_drain({})};
}

TEST_CASE("a packet starts with a mark, a version, a type and a count") {
  CHECK(encode_ready() == "HO\1\2\0\0\0\0"s);
  CHECK(encode_drain({}) == "HO\1\12\0\0\0\0"s);
  CHECK(encode_hello({kVersion, 0x01020304, 16}) == "HO\1\1\0\0\0\0\4\3\2\1\20\0\0\0\1\0\0\0"s);
  const std::array<std::uint64_t, 1> ids = {0x0102030405060708};
  CHECK(encode_ids(Type::finished, ids) == "HO\1\6\1\0\0\0\10\7\6\5\4\3\2\1"s);
}

TEST_CASE("a hello tells who the worker is") {
  const auto message = decode(encode_hello({kVersion, 4'000'000'000, 65'536}));
  REQUIRE(message);
  CHECK(message->type == Type::hello);
  CHECK(message->hello.version == kVersion);
  CHECK(message->hello.pid == 4'000'000'000);
  CHECK(message->hello.credits == 65'536);
}

TEST_CASE("ready and drain carry nothing") {
  for (const Type type : {Type::ready, Type::drain}) {
    const auto packet = type == Type::ready ? encode_ready() : encode_drain({});
    const auto message = decode(packet);
    REQUIRE(message);
    CHECK(message->type == type);
    CHECK(message->entries.empty());
    CHECK(message->ids.empty());
  }
}

TEST_CASE("finished carries one id or many, and never none") {
  std::vector<std::uint64_t> ids;
  CHECK_FALSE(decode(encode_ids(Type::finished, ids)));
  for (const std::size_t count : {1U, 16U, 1000U}) {
    while (ids.size() < count) {
      ids.push_back(std::numeric_limits<std::uint64_t>::max() - ids.size());
    }
    const auto packet = encode_ids(Type::finished, ids);
    const auto message = decode(packet);
    REQUIRE(message);
    CHECK(message->type == Type::finished);
    CHECK(message->ids == ids);
  }
}

TEST_CASE("a connection's peer is of any family, or of none") {
  const std::array<Entry, 6> entries = {
      Entry{1, peer("192.0.2.1:65535"), ""}, Entry{2, peer("[2001:db8::1]:80"), ""},
      Entry{3, peer("/run/x.sock"), ""},     Entry{4, peer("@abstract"), ""},
      Entry{5, unnamed_peer(), ""},          Entry{6, SocketAddress(), ""}};
  const auto packet = encode_entries(Type::connection, entries);
  const auto message = decode(packet);
  REQUIRE(message);
  REQUIRE(message->entries.size() == entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    CHECK(message->entries[i].id == entries[i].id);
    CHECK(message->entries[i].peer.family() == entries[i].peer.family());
    CHECK(message->entries[i].peer.size() == entries[i].peer.size());
    CHECK(message->entries[i].peer.text() == entries[i].peer.text());
  }
}

TEST_CASE("the longest path fits as a peer") {
  const std::string path = "/" + std::string(106, 'p');
  const std::array<Entry, 1> entries = {Entry{1, peer(path), "x"}};
  const auto packet = encode_entries(Type::connection, entries);
  const auto message = decode(packet);
  REQUIRE(message);
  CHECK(message->entries[0].peer.text() == path);
  CHECK(message->entries[0].read == "x");
}

TEST_CASE("bytes that were read already travel with their connection") {
  const std::string large(64 * 1024, '\xFF');
  const std::array<Entry, 3> entries = {Entry{1, peer(":1"), "\0\1\2"sv}, Entry{2, {}, ""},
                                        Entry{3, peer(":3"), large}};
  const auto packet = encode_entries(Type::connection, entries);
  const auto message = decode(packet);
  REQUIRE(message);
  REQUIRE(message->entries.size() == 3);
  CHECK(message->entries[0].read == "\0\1\2"sv);
  CHECK(message->entries[1].read.empty());
  CHECK(message->entries[2].read == large);
}

TEST_CASE("one to sixteen connections fit, none and seventeen are refused") {
  const std::vector<Entry> entries(kMaxEntries, Entry{1, {}, {}});
  for (std::size_t count = 1; count <= kMaxEntries; ++count) {
    const auto packet = encode_entries(Type::connection, std::span(entries).first(count));
    const auto message = decode(packet);
    REQUIRE(message);
    CHECK(message->entries.size() == count);
  }
  std::string packet = encode_entries(Type::connection, entries);
  const std::string entry = packet.substr(8, (packet.size() - 8) / kMaxEntries);
  packet.append(entry);
  packet[4] = kMaxEntries + 1;
  CHECK(!decode(packet));
  CHECK(!decode("HO\1\3\0\0\0\0"s));
}

TEST_CASE("every truncation of a valid packet is refused, and what is too long") {
  for (const std::string& packet : valid_packets()) {
    CAPTURE(static_cast<int>(packet[3]));
    REQUIRE(decode(packet));
    for (std::size_t size = 0; size < packet.size(); ++size) {
      // On the heap by itself, so that a memory checker sees a read past its end.
      const std::vector<char> cut(packet.data(), packet.data() + size);
      CHECK(!decode(cut));
    }
    CHECK(!decode(packet + '\0'));
  }
}

TEST_CASE("counts and sizes that do not fit are refused") {
  const std::array<std::uint64_t, 2> ids = {1, 2};
  for (const char count : {'\0', '\1', '\3', '\x7F'}) {
    std::string packet = encode_ids(Type::finished, ids);
    packet[4] = count;
    CHECK(!decode(packet));
  }
  const std::array<Entry, 1> entries = {Entry{1, peer(":80"), "read"}};
  const std::string packet = encode_entries(Type::connection, entries);
  for (const std::size_t place :
       {16U, 17U, 20U, 21U, 22U, 23U}) {  // the two sizes of the first entry
    for (const char value : {'\1', '\x7F', '\xFF'}) {
      std::string changed = packet;
      changed[place] = value;
      CHECK(!decode(changed));
    }
  }
}

TEST_CASE("another mark, version or type is refused") {
  for (const std::string& packet : valid_packets()) {
    for (const std::size_t place : {0U, 1U}) {
      std::string changed = packet;
      changed[place] = 'X';
      CHECK(!decode(changed));
    }
    for (const char type : {'\0', '\x63', '\x7F', '\xFF'}) {
      std::string changed = packet;
      changed[3] = type;
      CHECK(!decode(changed));
    }
    if (packet[3] == static_cast<char>(Type::hello)) continue;
    for (const char version : {'\0', '\2', '\xFF'}) {
      std::string changed = packet;
      changed[2] = version;
      CHECK(!decode(changed));
    }
  }
}

TEST_CASE("a hello tells whether the worker answers, which older ones do not say") {
  channel::Hello hello;
  hello.answers = true;
  REQUIRE(decode(encode_hello(hello)));
  CHECK(encode_hello(hello).substr(6, 2) == "\1\0"s);
  CHECK(decode(encode_hello(hello))->hello.answers);
  CHECK(encode_hello({}).substr(6, 2) == "\0\0"s);
  CHECK(!decode(encode_hello({}))->hello.answers);
}

TEST_CASE("a hello of another version is decoded, so that the difference can be told") {
  const auto message =
      decode(encode_hello({kVersion, 5, 6}).replace(2, 1, "\x09") + "more to come");
  REQUIRE(message);
  CHECK(message->type == Type::hello);
  CHECK(message->hello.version == 9);
  CHECK(message->hello.pid == 5);
  CHECK(message->hello.credits == 6);
}

TEST_CASE("a packet over the limit is refused") {
  const std::string fits(kMaxMessage - 8 - 16, 'x');
  const std::string large = fits + "x";
  const std::array<Entry, 1> most = {Entry{1, {}, fits}};
  const std::array<Entry, 1> more = {Entry{1, {}, large}};
  REQUIRE(encode_entries(Type::connection, most).size() == kMaxMessage);
  CHECK(decode(encode_entries(Type::connection, most)).has_value());
  CHECK(!decode(encode_entries(Type::connection, more)));
}

}  // namespace
}  // namespace handoff::channel

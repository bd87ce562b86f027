// SPDX-License-Identifier: MIT
#include "pass/channel.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/os/address.hpp>
#include <handoff/os/fd.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

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

Connection connection_of(std::uint64_t id, const SocketAddress& peer, std::string_view unread) {
  Connection connection;
  connection.id = id;
  connection.peer = peer;
  connection.unread = unread;
  return connection;
}

/// They are as many as fit.
PackedConnections pack(const std::vector<Connection>& connections) {
  PackedConnections packed(Type::connection);
  for (const Connection& connection : connections) { CHECK(packed.add(connection)); }
  return packed;
}

std::vector<Connection> list(Connection first) {
  std::vector<Connection> connections;
  connections.push_back(std::move(first));
  return connections;
}

template <typename... Rest>
std::vector<Connection> list(Connection first, Rest... rest) {
  std::vector<Connection> connections = list(std::move(first));
  (connections.push_back(std::move(rest)), ...);
  return connections;
}

/// Copies of the descriptors of a message, as a receiver gets them.
std::vector<Fd> copies(const PackedConnections& packed) {
  std::vector<Fd> copies;
  for (const int descriptor : packed.descriptors()) { copies.push_back(duplicate(descriptor)); }
  return copies;
}

/// One of each kind of packet, with all that it can carry.
std::vector<std::string> valid_packets() {
  const std::array<std::uint64_t, 3> ids = {1, 2, 3};
  const PackedConnections packed = pack(
      list(connection_of(7, peer("127.0.0.1:80"), "read"), connection_of(8, peer("/run/x"), "")));
  return {encode_hello({kVersion, 123, 16}), encode_ready(),   packed.bytes(),
          encode_ids(Type::finished, ids),   encode_drain({}), encode_passing(Type::ledger, 1)};
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
    CHECK(message->connections.empty());
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
  const std::vector<Connection> sent = list(
      connection_of(1, peer("192.0.2.1:65535"), ""), connection_of(2, peer("[2001:db8::1]:80"), ""),
      connection_of(3, peer("/run/x.sock"), ""), connection_of(4, peer("@abstract"), ""),
      connection_of(5, unnamed_peer(), ""), connection_of(6, SocketAddress(), ""));
  const auto message = decode(pack(sent).bytes());
  REQUIRE(message);
  REQUIRE(message->connections.size() == sent.size());
  for (std::size_t i = 0; i < sent.size(); ++i) {
    const Connection& received = message->connections[i];
    CHECK(received.id == sent[i].id);
    CHECK(received.peer.family() == sent[i].peer.family());
    CHECK(received.peer.size() == sent[i].peer.size());
    CHECK(received.peer.text() == sent[i].peer.text());
  }
}

TEST_CASE("the longest path fits as a peer") {
  const std::string path = "/" + std::string(106, 'p');
  const auto message = decode(pack(list(connection_of(1, peer(path), "x"))).bytes());
  REQUIRE(message);
  CHECK(message->connections[0].peer.text() == path);
  CHECK(message->connections[0].unread == "x");
}

TEST_CASE("bytes that were read already travel with their connection") {
  const std::string large(64 * 1024, '\xFF');
  const PackedConnections packed =
      pack(list(connection_of(1, peer(":1"), "\0\1\2"sv), connection_of(2, {}, ""),
                connection_of(3, peer(":3"), large)));
  const auto message = decode(packed.bytes());
  REQUIRE(message);
  REQUIRE(message->connections.size() == 3);
  CHECK(message->connections[0].unread == "\0\1\2"sv);
  CHECK(message->connections[1].unread.empty());
  CHECK(message->connections[2].unread == large);
}

TEST_CASE("one to sixteen connections fit, none and seventeen are refused") {
  PackedConnections packed(Type::connection);
  for (std::size_t count = 1; count <= kMaxEntries; ++count) {
    CHECK(packed.add(Connection()));
    CHECK(packed.count() == count);
    const auto message = decode(packed.bytes());
    REQUIRE(message);
    CHECK(message->connections.size() == count);
  }
  std::string packet = packed.bytes();
  CHECK_FALSE(packed.add(Connection()));
  CHECK(packed.bytes() == packet);
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
  const std::string packet = pack(list(connection_of(1, peer(":80"), "read"))).bytes();
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
    if (packet[3] == static_cast<char>(Type::hello)) { continue; }
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

TEST_CASE("a hello tells whether the worker keeps a ledger, and of how many threads") {
  Hello hello;
  hello.wants_ledger = true;
  for (const auto& [threads, rounded] :
       {std::pair{1U, 1U}, {2U, 2U}, {3U, 4U}, {1000U, 1024U}, {1024U, 1024U}}) {
    hello.threads = threads;
    const auto message = decode(encode_hello(hello));
    REQUIRE(message);
    CHECK(message->hello.wants_ledger);
    CHECK(message->hello.threads == rounded);
  }
  CHECK_FALSE(decode(encode_hello({}))->hello.wants_ledger);
  CHECK(decode(encode_hello({}).replace(7, 1, "\xff"))->hello.threads == 1);
  CHECK(decode(encode_hello(hello).replace(7, 1, "\xff"))->hello.threads == 1024);
}

TEST_CASE("a reply that is owed travels with its connection, and with its wish for STARTED") {
  Connection owed = connection_of(1, peer(":1"), "read");
  owed.owed = R"({"out":"error"})";
  owed.wants_started = true;
  const auto message =
      decode(pack(list(std::move(owed), connection_of(2, peer(":2"), "more"))).bytes());
  REQUIRE(message);
  CHECK(message->connections[0].unread == "read");
  CHECK(message->connections[0].owed == R"({"out":"error"})");
  CHECK(message->connections[0].wants_started);
  CHECK(message->connections[1].unread == "more");
  CHECK(message->connections[1].owed.empty());
  CHECK_FALSE(message->connections[1].wants_started);
}

TEST_CASE("a reply that is owed has bytes, not more than the limit, and comes from the master") {
  for (const std::size_t size : {std::size_t{1}, kMaxOwed, kMaxOwed + 1}) {
    Connection owed = connection_of(1, {}, "");
    owed.owed.assign(size, 'x');
    PackedConnections packed(Type::connection);
    REQUIRE(packed.add(owed));
    CHECK(decode(packed.bytes()).has_value() == (size <= kMaxOwed));
    PackedConnections returned(Type::returned);
    REQUIRE(returned.add(owed));
    CHECK_FALSE(decode(returned.bytes()));
  }
  Connection empty = connection_of(1, {}, "");
  empty.owed = "x";
  std::string packet = pack(list(std::move(empty))).bytes();
  packet.pop_back();
  packet[kHeaderSize + 16] = 0;
  CHECK_FALSE(decode(packet));
}

TEST_CASE("a kept connection comes back without a descriptor, and goes with one") {
  const test::DescriptorCheck check;
  const auto make = [](std::uint64_t id) {
    Connection connection = connection_of(id, {}, "");
    connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
    return connection;
  };
  const std::vector<Connection> both =
      list(make(id_of_entry(kKeptId, 3, 9)), make(id_of_entry(kOwnId, 4, 9)));
  PackedConnections returned(Type::returned);
  for (const Connection& connection : both) { CHECK(returned.add(connection)); }
  REQUIRE(returned.descriptors().size() == 1);
  const auto back = decode(returned.bytes(), copies(returned));
  REQUIRE(back);
  CHECK_FALSE(back->connections[0].socket.valid());
  CHECK(test::same_file(back->connections[1].socket.get(), both[1].socket.get()));
  for (const Type type : {Type::connection, Type::deposit}) {
    PackedConnections packed(type);
    for (const Connection& connection : both) { CHECK(packed.add(connection)); }
    CHECK(packed.descriptors().size() == 2);
    const auto message = decode(packed.bytes(), copies(packed));
    REQUIRE(message);
    CHECK(message->type == type);
    CHECK(message->connections[0].is_complete());
    CHECK(message->connections[1].is_complete());
  }
}

TEST_CASE("the number of a connection with an entry tells its index and generation") {
  const std::uint64_t id = id_of_entry(kKeptId, 0xfffffffe, 0xffff);
  CHECK(index_of(id) == 0xfffffffe);
  CHECK(generation_of(id) == 0xffff);
  CHECK((id & kKeptId) != 0);
  CHECK((id & kOwnId) == 0);
}

TEST_CASE("a hello tells whether the worker counts by method, if it keeps a ledger") {
  Hello hello;
  hello.counts_methods = true;
  CHECK(encode_hello(hello).substr(6, 2) == "\0\0"s);
  hello.wants_ledger = true;
  CHECK(encode_hello(hello).substr(6, 2) == "\12\0"s);
  CHECK(decode(encode_hello(hello))->hello.counts_methods);
  hello.counts_methods = false;
  CHECK_FALSE(decode(encode_hello(hello))->hello.counts_methods);
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
  const std::string packet = pack(list(connection_of(1, {}, fits))).bytes();
  REQUIRE(packet.size() == kMaxMessage);
  CHECK(decode(packet).has_value());
  PackedConnections packed(Type::connection);
  CHECK_FALSE(packed.add(connection_of(1, {}, large)));
  CHECK(packed.count() == 0);
  std::string longer = packet + 'x';
  longer[20] = static_cast<char>(longer[20] + 1);  // of the unread bytes
  CHECK(!decode(longer));
}

TEST_CASE("a connection that does not fit is left to the next message") {
  PackedConnections packed(Type::connection);
  CHECK(packed.add(connection_of(1, {}, std::string(kMaxUnread, 'x'))));
  CHECK_FALSE(packed.add(connection_of(2, {}, std::string(kMaxUnread, 'x'))));
  CHECK(packed.add(connection_of(3, {}, "x")));
  const auto message = decode(packed.bytes());
  REQUIRE(message);
  REQUIRE(message->connections.size() == 2);
  CHECK(message->connections[1].id == 3);
}

TEST_CASE("a connection arrives as it was sent, with its socket and its spilled bytes") {
  const test::DescriptorCheck check;
  for (const std::size_t size : {std::size_t{3}, kMaxUnread + 1}) {
    const std::string bytes(size, '\xA5');
    Connection first = connection_of(7, peer("192.0.2.1:80"), bytes);
    first.socket = std::move(make_socket_pair(SOCK_STREAM).first);
    first.framing = Framing::lines;
    first.dialect = Dialect::json_rpc;
    first.spill_to_memfd();
    Connection second;
    second.socket = std::move(make_socket_pair(SOCK_STREAM).first);
    PackedConnections packed(Type::returned);
    CHECK(packed.add(first));
    CHECK(packed.add(second));
    auto message = decode(packed.bytes(), copies(packed));
    REQUIRE(message);
    CHECK(message->type == Type::returned);
    CHECK(message->descriptors.empty());
    Connection& received = message->connections.front();
    CHECK(received.is_complete());
    CHECK(received.framing == Framing::lines);
    CHECK(received.dialect == Dialect::json_rpc);
    CHECK(test::same_file(received.socket.get(), first.socket.get()));
    CHECK(test::same_file(message->connections[1].socket.get(), second.socket.get()));
    received.load_spilled(size);
    CHECK(received.unread == bytes);
  }
}

TEST_CASE("missing descriptors leave connections incomplete, and those too many are kept apart") {
  const test::DescriptorCheck check;
  Connection spilled = connection_of(1, {}, std::string(kMaxUnread + 1, 'x'));
  spilled.socket = std::move(make_socket_pair(SOCK_STREAM).first);
  spilled.spill_to_memfd();
  const PackedConnections packed = pack(list(std::move(spilled), Connection()));
  std::vector<Fd> descriptors;
  const auto none = decode(packed.bytes());
  REQUIRE(none);
  CHECK(!none->connections[0].is_complete());
  CHECK(!none->connections[1].is_complete());
  descriptors.push_back(std::move(make_socket_pair(SOCK_STREAM).first));
  const auto one = decode(packed.bytes(), std::move(descriptors));
  REQUIRE(one);
  CHECK(one->connections[0].socket.valid());
  CHECK(!one->connections[0].is_complete());
  descriptors.clear();
  for (int i = 0; i < 4; ++i) {
    descriptors.push_back(std::move(make_socket_pair(SOCK_STREAM).first));
  }
  const auto four = decode(packed.bytes(), std::move(descriptors));
  REQUIRE(four);
  CHECK(four->connections[0].is_complete());
  CHECK(four->connections[1].is_complete());
  CHECK(four->descriptors.size() == 1);
}

TEST_CASE("the descriptors of what is no message are closed") {
  const test::DescriptorCheck check;
  for (const std::string& packet : {std::string("nothing"), encode_ready() + "more"}) {
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(make_socket_pair(SOCK_STREAM).first));
    CHECK(!decode(packet, std::move(descriptors)));
  }
}

}  // namespace
}  // namespace handoff::channel

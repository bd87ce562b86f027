// SPDX-License-Identifier: MIT
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <handoff/pass/fd_passing.hpp>
#include <handoff/pass/handover.hpp>

#include "fuzz/support.hpp"
#include "pass/channel.hpp"
#include "wire/framing.hpp"

/// Packets of the channel and messages of the handover: what is decoded is encoded as it was, and
/// nothing more or less than a message is one.
namespace handoff::fuzz {
namespace {

std::string encode_connections(const channel::Message& message) {
  channel::PackedConnections packed(message.type);
  for (const Connection& connection : message.connections) {
    check(packed.add(connection), "what came in one message fits into one");
  }
  return packed.bytes();
}

std::string encode(const channel::Message& message) {
  using channel::Type;
  switch (message.type) {
    case Type::hello: return channel::encode_hello(message.hello);
    case Type::ready: return channel::encode_ready();
    case Type::connection:
    case Type::returned:
    case Type::deposit: return encode_connections(message);
    case Type::started:
    case Type::refused:
    case Type::finished: return channel::encode_ids(message.type, message.ids);
    case Type::drain: return channel::encode_drain(message.drain);
    case Type::leave: return channel::encode_leave();
    case Type::lame_duck: return channel::encode_lame_duck();
    case Type::listener: return channel::encode_listeners(message.announced, message.proxies);
    case Type::queue:
    case Type::ledger: return channel::encode_passing(message.type, message.announced);
    case Type::requests: return channel::encode_requests(message.requests);
  }
  check(false, "a decoded message has a type that is known");
  return {};
}

bool same(const SocketAddress& one, const SocketAddress& other) {
  return one.size() == other.size() && std::memcmp(one.data(), other.data(), one.size()) == 0;
}

bool same(const Connection& one, const Connection& other) {
  return one.id == other.id && same(one.peer, other.peer) && one.unread == other.unread &&
         one.spilled_size == other.spilled_size && one.framing == other.framing &&
         one.dialect == other.dialect && one.owed == other.owed &&
         one.wants_started == other.wants_started;
}

bool same(const channel::Message& one, const channel::Message& other) {
  return one.type == other.type && one.hello.version == other.hello.version &&
         one.hello.pid == other.hello.pid && one.hello.credits == other.hello.credits &&
         one.hello.calls == other.hello.calls &&
         one.hello.wants_ledger == other.hello.wants_ledger &&
         one.hello.takes_lame_duck == other.hello.takes_lame_duck &&
         one.hello.reads_proxies == other.hello.reads_proxies &&
         one.hello.counts_methods == other.hello.counts_methods && one.proxies == other.proxies &&
         one.hello.threads == other.hello.threads && one.announced == other.announced &&
         one.ids == other.ids && one.drain.give_back == other.drain.give_back &&
         one.drain.join_again == other.drain.join_again && one.requests == other.requests &&
         std::equal(one.connections.begin(), one.connections.end(), other.connections.begin(),
                    other.connections.end(), [](const Connection& its, const Connection& others) {
                      return same(its, others);
                    });
}

void check_connection(const Connection& connection) {
  const SocketAddress& peer = connection.peer;
  check(connection.unread.size() <= channel::kMaxMessage, "unread bytes come from the packet");
  check(connection.spilled_size <= channel::kMaxSpilled, "spilled bytes have a limit");
  check(connection.spilled_size == 0 || connection.unread.empty(),
        "unread bytes are in the packet or spilled");
  check(connection.framing <= Framing::lines, "a framing is one that there is");
  check(peer.size() <= sizeof(sockaddr_un), "an address is no longer than an address");
  check(peer.text().size() < 2 * sizeof(sockaddr_un), "an address can be told");
  check(peer.port() == 0 || peer.family() != AF_UNIX, "a path has no port");
}

void check_packet(std::string_view packet, Pieces& random) {
  const std::optional<channel::Message> message = channel::decode(packet);
  if (!message) { return; }
  check(packet.size() <= channel::kMaxMessage, "a message has a limit");
  for (const Connection& connection : message->connections) { check_connection(connection); }
  if (message->hello.version != channel::kVersion) {
    return check(message->type == channel::Type::hello, "only a HELLO may be of another version");
  }
  const std::string out = encode(*message);
  check(out.size() <= packet.size(), "a message is written in no more bytes than it came in");
  const std::optional<channel::Message> again = channel::decode(out);
  check(again && same(*again, *message), "a message is read as it was written");
  check(encode(*again) == out, "a message is always written in the same way");

  // The text of LISTENER is as long as the packet.
  if (message->type == channel::Type::listener) { return; }
  check(!channel::decode(packet.substr(0, random.below(packet.size()))), "a part is no message");
  check(!channel::decode(std::string(packet) + '\0'), "a message ends at its end");
}

void check_handover(std::string_view bytes, std::size_t count, Pieces& random) {
  using handover::Decoded;
  constexpr std::string_view kMagic = "HOFD";
  handover::Message message;
  const Decoded decoded = handover::decode(bytes, count, message);
  check(message.names.size() == count, "each descriptor has a name, be it empty");
  const bool has_header = bytes.size() >= 2 && bytes.substr(0, 4) == kMagic.substr(0, bytes.size());
  if (!has_header) {
    const bool is_plain =
        !message.confirm && std::all_of(message.names.begin(), message.names.end(),
                                        [](const std::string& name) { return name.empty(); });
    return check(decoded == Decoded::complete && is_plain, "what has no header is plain");
  }
  if (decoded == Decoded::complete) {
    check(handover::encode(message) == bytes, "a message is written as it was read");
    for (const std::string& name : message.names) {
      if (!name.empty()) { handover::check_name(name); }
    }
  }
  const std::string_view part = bytes.substr(0, 2 + random.below(bytes.size() - 1));
  if (part.size() == bytes.size()) { return; }
  const Decoded before = handover::decode(part, count, message);
  check(before == Decoded::partial || decoded == Decoded::invalid,
        "what is whole or invalid does not become valid by more bytes");
}

void run(std::string_view input) {
  Pieces random(input);
  check_packet(input, random);
  const auto announced = input.size() < 8 ? std::size_t{1}
                                          : static_cast<unsigned char>(input[6]) +
                                                256U * static_cast<unsigned char>(input[7]);
  for (const std::size_t count : {std::size_t{1}, announced, kMaxDescriptorsPerMessage}) {
    if (count <= kMaxDescriptorsPerMessage) { check_handover(input, count, random); }
  }
}

}  // namespace
}  // namespace handoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  handoff::fuzz::run(handoff::fuzz::text_of(data, size));
  return 0;
}

// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "os/address.hpp"
#include "wire/dialect.hpp"
#include "wire/framing.hpp"
#include "wire/limits.hpp"

/// The messages between master and worker, as handoff-wire(7) specifies them: encode and decode,
/// no I/O. A message travels as one SOCK_SEQPACKET packet, the descriptors of its entries beside
/// it, in their order.
namespace handoff::channel {

inline constexpr std::uint8_t kVersion = 1;

/// Entries (and so descriptors) that one message carries at most.
inline constexpr std::size_t kMaxEntries = limits::kMaxEntries;

/// Descriptors that come with a message at most: a socket for each entry, and bytes aside.
inline constexpr std::size_t kMaxDescriptors = limits::kMaxEntryDescriptors;

/// Bytes of a message at most.
inline constexpr std::size_t kMaxMessage = limits::kMaxChannelMessage;

/// Already-read bytes of an entry that travel in the message. More of them go aside, in a sealed
/// memfd (memfd_create(2)).
inline constexpr std::size_t kMaxRead = limits::kMaxReadInEntry;

/// Bytes aside at most: a frame that is not yet whole, and what was received with its start.
inline constexpr std::size_t kMaxAside = limits::kMaxAside;

enum class Type : std::uint8_t {
  hello = 1,       ///< worker: who it is
  ready = 2,       ///< worker: it can serve
  connection = 3,  ///< master: entries, a client socket each
  started = 4,     ///< worker: ids; their first byte is read after this
  refused = 5,     ///< worker: ids whose descriptor did not arrive
  finished = 6,    ///< worker: ids whose connection has ended
  returned = 7,    ///< worker: entries, as in `connection`, between two frames
  listener = 8,    ///< master: listening sockets, all that there are; both, none: look who waits
  queue = 9,       ///< master: a queue's two memories; both, none: wake up
  drain = 10,      ///< master: finish what was started, take nothing new, leave
  leave = 11,      ///< worker: it asks to be drained
  requests = 12,   ///< master: how many requests were there? worker: so many
};

/// What a worker does with its connections when it drains, and then.
struct Drain {
  bool give_back = false;   ///< return each between two frames; else close it
  bool join_again = false;  ///< one that has joined shall do so again
};

struct Hello {
  std::uint8_t version = kVersion;
  std::uint32_t pid = 0;      ///< as the worker says; the master believes the kernel instead
  std::uint32_t credits = 0;  ///< connections that it will hold at a time
  std::uint32_t calls = 1;    ///< requests of a queue that it will have at a time
  bool answers = false;       ///< it answers REQUESTS as long as it does not hang
};

/// Worker: a connection that it has accepted itself has a number of its own, with this bit.
inline constexpr std::uint64_t kOwnId = std::uint64_t{1} << 63U;

/// A connection on its way to or from a worker.
struct Entry {
  std::uint64_t id = 0;                ///< of the connection on this channel, never used twice
  SocketAddress peer;                  ///< as accept(2) gave it
  std::string_view read;               ///< bytes that were read and not used
  std::size_t aside = 0;               ///< so many of them instead in a memfd behind the socket
  Framing framing = Framing::unknown;  ///< when that is known
  Dialect dialect = Dialect::article;  ///< of the last valid request
};

/// A decoded message. Views point into the packet.
struct Message {
  Type type{};
  Hello hello;                     ///< hello
  std::vector<Entry> entries;      ///< connection, returned
  std::vector<std::uint64_t> ids;  ///< started, refused, finished
  Drain drain;
  std::size_t descriptors = 0;  ///< listener, queue: how many come with it
  std::uint64_t requests = 0;   ///< requests, since the worker's start
};

std::string encode_hello(const Hello& hello);
std::string encode_ready();
std::string encode_drain(Drain drain);
std::string encode_leave();
std::string encode_requests(std::uint64_t count);
/// `type` is `listener` or `queue`; with so many descriptors.
std::string encode_passing(Type type, std::size_t descriptors);
/// `type` is `connection` or `returned`. At most kMaxEntries of them.
std::string encode_entries(Type type, std::span<const Entry> entries);
/// `type` is `started`, `refused` or `finished`.
std::string encode_ids(Type type, std::span<const std::uint64_t> ids);

/// Bytes that an entry takes in a message.
std::size_t size_of(const Entry& entry);
/// Bytes that a message of entries has besides them.
inline constexpr std::size_t kHeaderSize = 8;

/// The type that the first kHeaderSize bytes of a packet say.
inline Type type_of(std::span<const char, kHeaderSize> header) {
  return static_cast<Type>(header[3]);
}

/// Nothing when the packet is no message of this version: too short, too long, of an unknown
/// type, or with counts that do not fit. A HELLO of another version is decoded, so that the
/// difference can be told.
std::optional<Message> decode(std::span<const char> packet);

}  // namespace handoff::channel

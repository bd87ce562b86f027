// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "os/fd.hpp"
#include "os/socket_address.hpp"
#include "pass/connection.hpp"
#include "wire/dialect.hpp"
#include "wire/framing.hpp"
#include "wire/limits.hpp"

/// The messages between master and worker, as handoff-wire(7) specifies them: encode and decode,
/// no I/O. A message travels as one SOCK_SEQPACKET packet, the descriptors of its connections
/// beside it, in their order.
namespace handoff::channel {

inline constexpr std::uint8_t kVersion = 1;

/// Connections that one message carries at most, and descriptors of a LISTENER.
inline constexpr std::size_t kMaxEntries = limits::kMaxEntries;

/// Descriptors that come with a message at most: a socket for each connection, and a memfd.
inline constexpr std::size_t kMaxDescriptors = limits::kMaxEntryDescriptors;

/// Bytes of a reply that a connection brings along; see Connection::owed.
inline constexpr std::size_t kMaxOwed = limits::kMaxOwedReply;

/// Bytes of a message at most.
inline constexpr std::size_t kMaxMessage = limits::kMaxChannelMessage;

/// Unread bytes of a connection that travel in the message; see Connection::spill_to_memfd.
inline constexpr std::size_t kMaxUnread = limits::kMaxReadInEntry;

/// Bytes in a memfd at most: a frame that is not yet whole, and what was received with its start.
inline constexpr std::size_t kMaxSpilled = limits::kMaxAside;

enum class Type : std::uint8_t {
  hello = 1,       ///< worker: who it is
  ready = 2,       ///< worker: it can serve
  connection = 3,  ///< master: connections, each with its socket
  started = 4,     ///< worker: ids; their first byte is read after this
  refused = 5,     ///< worker: ids whose descriptor did not arrive
  finished = 6,    ///< worker: ids whose connection has ended
  returned = 7,    ///< worker: connections, as in `connection`, between two frames
  listener = 8,    ///< master: listening sockets, all that there are; both, none: look who waits
  queue = 9,       ///< master: a queue's two memories; both, none: wake up
  drain = 10,      ///< master: finish what was started, take nothing new, leave
  leave = 11,      ///< worker: it asks to be drained
  requests = 12,   ///< master: how many requests were there? worker: so many
  ledger = 13,     ///< master: the worker's ledger, right after its HELLO if that asked for one
  deposit = 14,    ///< worker: connections that it keeps, each with its socket for the master
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
  bool wants_ledger = false;  ///< it keeps a ledger, if it gets one
  std::uint32_t threads = 1;  ///< of a worker that wants one; rounded up to a power of two
};

/// Worker: a connection that it has accepted itself has a number of its own, with this bit.
inline constexpr std::uint64_t kOwnId = std::uint64_t{1} << 63U;

/// A connection of which the master keeps a copy until its end has this bit in its number. It comes
/// back without a descriptor.
inline constexpr std::uint64_t kKeptId = std::uint64_t{1} << 62U;

/// The number of a connection that has an entry in the ledger holds its index and its generation.
/// `kind` is kKeptId or kOwnId.
constexpr std::uint64_t id_of_entry(std::uint64_t kind, std::uint32_t index,
                                    std::uint16_t generation) {
  return kind | std::uint64_t{generation} << 32U | index;
}
constexpr std::uint32_t index_of(std::uint64_t id) {
  return static_cast<std::uint32_t>(id);
}
constexpr std::uint16_t generation_of(std::uint64_t id) {
  return static_cast<std::uint16_t>(id >> 32U);
}

/// A decoded message. It owns the descriptors that came with it.
struct Message {
  Type type{};
  Hello hello;  ///< hello
  /// connection, returned, deposit; see Connection::is_complete
  std::vector<Connection> connections;
  std::vector<std::uint64_t> ids;  ///< started, refused, finished
  Drain drain;
  std::vector<Fd> descriptors;  ///< those that belong to no connection
  std::size_t announced = 0;    ///< listener, queue, ledger: how many descriptors were sent
  std::uint64_t requests = 0;   ///< requests, since the worker's start
};

std::string encode_hello(const Hello& hello);
std::string encode_ready();
std::string encode_drain(Drain drain);
std::string encode_leave();
std::string encode_requests(std::uint64_t count);
/// `type` is `listener`, `queue` or `ledger`; with so many descriptors.
std::string encode_passing(Type type, std::size_t descriptors);
/// `type` is `started`, `refused` or `finished`.
std::string encode_ids(Type type, std::span<const std::uint64_t> ids);

/// Bytes that each message begins with.
inline constexpr std::size_t kHeaderSize = 8;

/// A message of connections and the descriptors that go beside it, which stay those of the
/// connections: they must live until it was sent.
class PackedConnections {
 public:
  /// `type` is `connection`, `returned` or `deposit`.
  explicit PackedConnections(Type type);

  /// Adds one, its unread bytes spilled if they must be. False, and nothing has changed, when the
  /// message has kMaxEntries already, or would exceed kMaxMessage.
  bool add(const Connection& connection);

  std::size_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }
  std::span<const int> descriptors() const { return {descriptors_.data(), descriptor_count_}; }

 private:
  Type type_;
  std::string bytes_;
  std::size_t count_ = 0;
  std::array<int, kMaxDescriptors> descriptors_{};
  std::size_t descriptor_count_ = 0;
};

/// The type that the first kHeaderSize bytes of a packet say.
inline Type type_of(std::span<const char, kHeaderSize> header) {
  return static_cast<Type>(header[3]);
}

/// Gives each connection the descriptors that it announces, in their order; those that are missing
/// leave it incomplete. Nothing, and all `descriptors` are closed, when the packet is no message of
/// this version: too short, too long, of an unknown type, or with counts that do not fit. A HELLO
/// of another version is decoded, so that the difference can be told.
std::optional<Message> decode(std::span<const char> packet, std::vector<Fd> descriptors = {});

}  // namespace handoff::channel

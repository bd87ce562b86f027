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

#include <handoff/os/fd.hpp>
#include <handoff/os/socket_address.hpp>
#include <handoff/wire/dialect.hpp>
#include <handoff/wire/limits.hpp>

#include "pass/connection.hpp"
#include "wire/framing.hpp"

/// Encodes and decodes the messages between master and worker, which handoff-wire(7), THE CHANNEL,
/// specifies. Nothing here does I/O. A message travels as one SOCK_SEQPACKET packet, together with
/// the descriptors of its connections in their order.
namespace handoff::channel {

inline constexpr std::uint8_t kVersion = 1;

/// The most connections in one message, and the most descriptors of a LISTENER.
inline constexpr std::size_t kMaxEntries = limits::kMaxEntries;

/// The most descriptors that travel with a message: a socket and a memfd for each connection.
inline constexpr std::size_t kMaxDescriptors = limits::kMaxEntryDescriptors;

/// The longest reply that a connection brings along, in bytes; see Connection::owed.
inline constexpr std::size_t kMaxOwed = limits::kMaxOwedReply;

/// The longest message, in bytes.
inline constexpr std::size_t kMaxMessage = limits::kMaxChannelMessage;

/// The most unread bytes of a connection that travel in the message; see
/// Connection::spill_to_memfd.
inline constexpr std::size_t kMaxUnread = limits::kMaxReadInEntry;

/// The most bytes in a memfd: an incomplete frame, and what was received together with its start.
inline constexpr std::size_t kMaxSpilled = limits::kMaxAside;

/// The types of messages, with the sender of each.
enum class Type : std::uint8_t {
  hello = 1,       ///< worker: introduces itself
  ready = 2,       ///< worker: can serve from now on
  connection = 3,  ///< master: connections, each with its socket
  started = 4,     ///< worker: ids of connections whose first byte it reads only after this
  refused = 5,     ///< worker: ids of connections whose descriptor did not arrive
  finished = 6,    ///< worker: ids of connections that have ended
  returned = 7,    ///< worker: gives connections back, as in `connection`, each between two frames
  listener =
      8,       ///< master: all listening sockets; both, without any: check for waiting connections
  queue = 9,   ///< master: the two memories of a queue; both, without any: wake up
  drain = 10,  ///< master: finish what was started, take nothing new, leave
  leave = 11,  ///< worker: asks to be drained
  requests = 12,   ///< master: asks for the number of requests; worker: reports it
  ledger = 13,     ///< master: the worker's ledger, right after a HELLO that asked for one
  deposit = 14,    ///< worker: connections that it keeps, each with its socket for the master
  lame_duck = 15,  ///< master: close each connection after its next reply, until a DRAIN
};

/// What a worker does with its connections when it drains, and afterwards.
struct Drain {
  bool give_back = false;   ///< returns each between two frames; otherwise closes it
  bool join_again = false;  ///< a worker that has joined by itself joins again
};

/// What a worker says of itself when it begins.
struct Hello {
  std::uint8_t version = kVersion;
  std::uint32_t pid = 0;         ///< as the worker sees it; the master uses what the kernel says
  std::uint32_t credits = 0;     ///< the connections that it accepts at a time
  std::uint32_t calls = 1;       ///< the requests of a queue that it accepts at a time
  bool answers = false;          ///< it answers REQUESTS, unless it hangs
  bool wants_ledger = false;     ///< it keeps a ledger if it is sent one
  bool takes_lame_duck = false;  ///< it knows LAME_DUCK
  std::uint32_t threads = 1;    ///< its threads, if it wants a ledger; rounded up to a power of two
  bool counts_methods = false;  ///< it counts by method, if it wants a ledger and that has the room
};

/// The bit in the number of a connection that the worker has accepted itself; the worker chooses
/// such numbers.
inline constexpr std::uint64_t kOwnId = std::uint64_t{1} << 63U;

/// The bit in the number of a connection of which the master keeps a copy until its end. A worker
/// returns such a connection without a descriptor.
inline constexpr std::uint64_t kKeptId = std::uint64_t{1} << 62U;

/// Returns the number of a connection that has an entry in the ledger; it holds the entry's index
/// and generation. `kind` is kKeptId or kOwnId.
constexpr std::uint64_t id_of_entry(std::uint64_t kind, std::uint32_t index,
                                    std::uint16_t generation) {
  return kind | std::uint64_t{generation} << 32U | index;
}
/// These return the two parts of a number that id_of_entry() has made.
constexpr std::uint32_t index_of(std::uint64_t id) {
  return static_cast<std::uint32_t>(id);
}
constexpr std::uint16_t generation_of(std::uint64_t id) {
  return static_cast<std::uint16_t>(id >> 32U);
}

/// A decoded message. It owns the descriptors that arrived with it. Which fields are set depends on
/// `type`.
struct Message {
  Type type{};
  Hello hello;  ///< hello
  /// Set for connection, returned and deposit; the descriptors of each may be missing, see
  /// Connection::is_complete().
  std::vector<Connection> connections;
  std::vector<std::uint64_t> ids;  ///< started, refused, finished
  Drain drain;
  std::vector<Fd> descriptors;  ///< the descriptors that belong to no connection
  std::size_t announced = 0;  ///< listener, queue, ledger: how many descriptors the sender attached
  std::uint64_t requests = 0;  ///< requests: those since the worker's start
};

std::string encode_hello(const Hello& hello);
std::string encode_ready();
std::string encode_drain(Drain drain);
std::string encode_leave();
std::string encode_lame_duck();
std::string encode_requests(std::uint64_t count);
/// Encodes a message of `type` listener, queue or ledger, with which `descriptors` descriptors are
/// sent.
std::string encode_passing(Type type, std::size_t descriptors);
/// Encodes a message of `type` started, refused or finished.
std::string encode_ids(Type type, std::span<const std::uint64_t> ids);

/// The length of the header with which each message begins, in bytes.
inline constexpr std::size_t kHeaderSize = 8;

/// A message of connections, and the numbers of the descriptors that are sent with it. The
/// connections keep owning the descriptors, and must exist until the message was sent.
class PackedConnections {
 public:
  /// Begins a message of `type` connection, returned or deposit.
  explicit PackedConnections(Type type);

  /// Adds a connection; call its spill_to_memfd() before. Returns false, and changes nothing, if
  /// the message has kMaxEntries connections or would exceed kMaxMessage.
  bool add(const Connection& connection);

  /// Returns the number of connections.
  std::size_t count() const { return count_; }
  /// Returns the message. Valid until the next add().
  const std::string& bytes() const { return bytes_; }
  /// Returns the descriptors to send with it, in order. Valid until the next add().
  std::span<const int> descriptors() const { return {descriptors_.data(), descriptor_count_}; }

 private:
  Type type_;
  std::string bytes_;
  std::size_t count_ = 0;
  std::array<int, kMaxDescriptors> descriptors_{};
  std::size_t descriptor_count_ = 0;
};

/// Returns the type that the header of a packet announces. The value may be none of the
/// enumerators.
inline Type type_of(std::span<const char, kHeaderSize> header) {
  return static_cast<Type>(header[3]);
}

/// Decodes a packet, and gives each connection the descriptors that it announces, in their order; a
/// connection whose descriptors are missing is incomplete. Returns nothing, and closes all
/// `descriptors`, if the packet is no message of this version: too short, too long, of an unknown
/// type, or with counts that do not fit. A HELLO of another version is decoded, so that the caller
/// can report the difference. Never throws for what a peer has sent.
std::optional<Message> decode(std::span<const char> packet, std::vector<Fd> descriptors = {});

}  // namespace handoff::channel

// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "os/address.hpp"

/// The messages between master and worker, as handoff-wire(7) specifies them: encode and decode,
/// no I/O. A message travels as one SOCK_SEQPACKET packet, the descriptors of its entries beside
/// it, in their order.
namespace handoff::channel {

inline constexpr std::uint8_t kVersion = 1;

/// Entries (and so descriptors) that one message carries at most.
inline constexpr std::size_t kMaxEntries = 16;

/// Bytes of a message at most. An entry's already-read bytes share what the entries leave.
inline constexpr std::size_t kMaxMessage = 128 * 1024;

enum class Type : std::uint8_t {
  hello = 1,       ///< worker: who it is
  ready = 2,       ///< worker: it can serve
  connection = 3,  ///< master: entries, a client socket each
  finished = 6,    ///< worker: ids whose connection has ended
  drain = 10,      ///< master: finish what was started, take nothing new, leave
};

struct Hello {
  std::uint8_t version = kVersion;
  std::uint32_t pid = 0;
  std::uint32_t credits = 0;  ///< connections that it will hold at a time
};

/// A connection on its way to or from a worker.
struct Entry {
  std::uint64_t id = 0;   ///< the master's number for it, never used twice
  SocketAddress peer;     ///< as accept(2) gave it
  std::string_view read;  ///< bytes that were read and not used
};

/// A decoded message. Views point into the packet.
struct Message {
  Type type{};
  Hello hello;                     ///< hello
  std::vector<Entry> entries;      ///< connection
  std::vector<std::uint64_t> ids;  ///< finished
};

std::string encode_hello(const Hello& hello);
std::string encode_ready();
std::string encode_drain();
/// At most kMaxEntries of them.
std::string encode_connections(std::span<const Entry> entries);
std::string encode_finished(std::span<const std::uint64_t> ids);

/// Nothing when the packet is no message of this version: too short, too long, of an unknown
/// type, or with counts that do not fit. A HELLO of another version is decoded, so that the
/// difference can be told.
std::optional<Message> decode(std::span<const char> packet);

}  // namespace handoff::channel

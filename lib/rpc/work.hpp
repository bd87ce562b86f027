// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "os/address.hpp"
#include "os/fd.hpp"
#include "pass/channel.hpp"
#include "rpc/custody.hpp"
#include "rpc/server_context.hpp"
#include "wire/framing.hpp"

namespace handoff {

/// A connection on its way to or from a worker. A copy of its descriptor is somewhere at all times:
/// with whoever sends it, until whoever receives it has said so.
struct Work {
  std::uint64_t id = 0;
  Fd connection;
  SocketAddress peer;
  std::string read;  ///< bytes that a worker has read and not used
  Fd aside;          ///< or a memfd that holds them
  std::size_t aside_size = 0;
  Framing framing = Framing::unknown;
  Dialect dialect = Dialect::article;
  Custody::Hold hold;  ///< in a master: what counts it

  /// Puts `read` into a memfd when it is too long to stay.
  void put_aside();
  /// As a session gives it.
  static Work from(LiveConnection connection);
  /// As a session takes it, with `most` bytes that were read; throws what take_read() throws, and
  /// ProtocolError when there are more, before it reads them.
  LiveConnection to_connection(std::size_t most);
  /// Views last as long as this does.
  channel::Entry entry() const;
  /// What an entry says, with the descriptors that came with it, from `next` on. A descriptor that
  /// is missing leaves `connection` invalid.
  static Work from(const channel::Entry& entry, std::vector<Fd>& descriptors, std::size_t& next);
  /// Whether the descriptors are what they should be: a stream socket, and a memfd that holds the
  /// bytes, has memory for each of them, and can't shrink. A worker may have sent anything.
  bool is_sound() const;
  /// Bytes that were read, wherever they are.
  std::size_t unread() const { return read.size() + aside_size; }
  /// Whether its client has been answered all that it has sent, as far as a worker has read it.
  bool is_idle() const { return framing != Framing::unknown && unread() == 0; }
  /// How many it has.
  std::size_t descriptors() const { return aside.valid() ? 2 : 1; }
  /// The bytes, from wherever they are. Throws SystemError, or ProtocolError when the memfd does
  /// not hold so many.
  std::string take_read();
};

/// How many of `works`, from the first on, fit into one message.
template <typename Works>
std::size_t fit_in_message(const Works& works) {
  std::size_t count = 0;
  std::size_t size = channel::kHeaderSize;
  for (const Work& work : works) {
    size += channel::size_of(work.entry());
    if (count == channel::kMaxEntries || size > channel::kMaxMessage) break;
    ++count;
  }
  return count;
}

}  // namespace handoff

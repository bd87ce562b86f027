// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "os/address.hpp"
#include "os/fd.hpp"
#include "pass/ledger_entry.hpp"
#include "wire/dialect.hpp"
#include "wire/framing.hpp"

namespace handoff {

/// A client's connection between two frames. An acceptor makes it, a session takes it over and
/// gives it back, and a channel carries it from process to process. It owns its descriptors.
struct Connection {
  Fd socket;
  std::uint64_t id = 0;  ///< the id under which its end is reported; 0: the end is not reported
  SocketAddress peer{};  ///< the address from accept(2); family 0 if it was not asked for
  Framing framing = Framing::unknown;  ///< known once the client's first bytes have decided it
  Dialect dialect = Dialect::article;  ///< that of the last valid request
  std::string unread{};                ///< bytes that a session has read and not used
  Fd spilled{};                        ///< a sealed memfd that holds these bytes instead
  std::size_t spilled_size = 0;        ///< the number of bytes in `spilled`; 0: there is none
  std::string owed{};                  ///< a reply to write before anything is read
  ledger::Entry* entry = nullptr;  ///< the entry in which a worker records its state; null: none
  bool wants_started = false;      ///< on a channel: the master waits for STARTED

  /// Moves `unread` into a memfd if it is longer than channel::kMaxUnread, which a message of a
  /// channel can carry. Throws SystemError, and changes nothing then.
  void spill_to_memfd();
  /// Moves the bytes of the memfd, if there is one, back to `unread`, and closes the memfd. Throws
  /// ProtocolError, before it allocates anything, if there are more than `most` bytes, and if the
  /// memfd does not hold them; SystemError if it cannot be read.
  void load_spilled(std::size_t most);

  /// Returns the number of bytes that were read and not used, wherever they are.
  std::size_t unread_size() const { return unread.size() + spilled_size; }
  /// Returns the number of descriptors that it owns, at most two.
  std::size_t descriptors() const;
  /// Returns whether it has all descriptors that its entry in a message has announced.
  bool is_complete() const;
  /// Returns whether the descriptors are of the right kind: a stream socket, and a memfd that holds
  /// the bytes, has memory for each of them, and cannot shrink. Call it for what a worker has sent,
  /// which can be anything.
  bool is_sound() const;
  /// Returns whether the client has got an answer to everything that was read from it.
  bool is_idle() const { return framing != Framing::unknown && unread_size() == 0 && owed.empty(); }
};

}  // namespace handoff

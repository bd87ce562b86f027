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

/// A client's connection between two frames: what an acceptor makes, a session takes and gives
/// back, and a channel carries from process to process. It owns its descriptors.
struct Connection {
  Fd socket;
  std::uint64_t id = 0;                ///< its end is reported under this; 0: nobody is told
  SocketAddress peer{};                ///< as accept(2) gave it; family 0 where nobody has asked
  Framing framing = Framing::unknown;  ///< once the client's first bytes have told it
  Dialect dialect = Dialect::article;  ///< of the last valid request
  std::string unread{};                ///< bytes that a session has read from it and not used
  Fd spilled{};                        ///< a sealed memfd that holds them instead
  std::size_t spilled_size = 0;        ///< how many there are in `spilled`; 0: it is not used
  std::string owed{};                  ///< a reply to write before anything is read
  ledger::Entry* entry = nullptr;      ///< where a worker records its state; null: nowhere
  bool wants_started = false;          ///< on a channel: the master waits for STARTED

  /// Moves `unread` into a memfd if it is longer than a message of a channel carries. Throws
  /// SystemError, and then nothing has changed.
  void spill_to_memfd();
  /// Moves the bytes of the memfd, if there is one, back to `unread`. Throws ProtocolError, before
  /// it allocates anything, when a connection may not bring as many as `most` bytes, and when the
  /// memfd does not hold them; SystemError when it can't be read.
  void load_spilled(std::size_t most);

  /// Bytes that were read and not used, wherever they are.
  std::size_t unread_size() const { return unread.size() + spilled_size; }
  /// Descriptors that it has open, at most two.
  std::size_t descriptors() const;
  /// Whether all descriptors are there that its entry in a message has announced.
  bool is_complete() const;
  /// Whether the descriptors are of the right kind: a stream socket, and a memfd that holds the
  /// bytes, has memory for each of them, and can't shrink. A worker may have sent anything.
  bool is_sound() const;
  /// Whether its client has an answer to all that was read from it.
  bool is_idle() const { return framing != Framing::unknown && unread_size() == 0 && owed.empty(); }
};

}  // namespace handoff

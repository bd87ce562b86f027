// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/os/fd.hpp>
#include <handoff/pass/handover.hpp>

namespace handoff {

/// Descriptors that were received together, and their owner.
struct Received {
  std::vector<Fd> descriptors;     ///< close-on-exec
  std::vector<std::string> names;  ///< one each, empty where it has none
  bool confirm = false;            ///< the sender waits for handover::kConfirmation
};

/// Makes messages out of what one sender sends, as fdsend(1) does, in the form that handoff-wire(7)
/// specifies. It does not block, whatever the flags of the socket.
///
/// The text of a plain message may be of any length, and may arrive in pieces: it is read and
/// thrown away, whether it arrives with the descriptors or after them.
class HandoverReceiver {
 public:
  /// Receives from `socket`, a connected Unix socket that stays the caller's. `name` is how errors
  /// name it.
  HandoverReceiver(int socket, std::string name) : socket_(socket), name_(std::move(name)) {}

  /// What one step() has found.
  enum class Step : std::uint8_t {
    message,      ///< a whole one is here: see take()
    more,         ///< something was read that completes no message; there may be more
    would_block,  ///< wait until the socket is readable
    end,          ///< the sender has closed, between two messages
  };
  /// Reads once. Throws ProtocolError ("cannot receive on NAME: ...") when what was read is no
  /// message, when the descriptors do not fit in our table, or when the sender has closed within a
  /// message; every descriptor of that message is closed then. Throws SystemError as recv_fds()
  /// does.
  Step step();

  /// Returns whether a part of a message was read, and the rest of it is awaited.
  bool is_within_message() const { return !bytes_.empty(); }

  /// Gives the message, with its descriptors, to the caller: once after each Step::message.
  Received take();

 private:
  Step at_end();
  Step add(std::string_view bytes, std::vector<Fd> descriptors);

  int socket_;
  std::string name_;
  std::string bytes_;  ///< of the message that is not whole yet
  Received received_;
  bool after_plain_ = false;  ///< bytes without a descriptor belong to the text of the last message
};

}  // namespace handoff

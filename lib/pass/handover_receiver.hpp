// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/os/fd.hpp>
#include <handoff/os/socket_address.hpp>
#include <handoff/pass/handover.hpp>

namespace handoff {

/// Descriptors that were received together, owned here.
struct Received {
  std::vector<Fd> descriptors;
  std::vector<std::string> names;  ///< one for each descriptor, empty if it has none
  bool confirm = false;            ///< the sender asks for a confirmation
  /// The client of a connection that has come from a proxy, as a plain message of a master tells
  /// it.
  std::optional<SocketAddress> client{};
};

/// Makes messages from what one sender sends, as handoff-wire(7) specifies. Does not block,
/// whatever the flags of the socket.
///
/// The text of a plain message may have any length and may arrive in pieces: it is read and
/// discarded, whether it arrives with the descriptors or after them.
class HandoverReceiver {
 public:
  /// The caller keeps the socket, which must stay open. `name` stands for it in errors.
  HandoverReceiver(int socket, std::string name) : socket_(socket), name_(std::move(name)) {}

  /// The result of one step().
  enum class Step : std::uint8_t {
    message,      ///< a message is complete: call take()
    more,         ///< something was read that completes no message; there may be more to read
    would_block,  ///< wait until the socket is readable
    end,          ///< the sender has closed between two messages
  };
  /// Reads once. Throws ProtocolError ("cannot receive on NAME: ...") if what was read is no
  /// message, if the descriptors do not fit into the table of this process, or if the sender has
  /// closed within a message. Throws SystemError as recv_fds() does. After an exception the object
  /// is of no use; the descriptors of the incomplete message are closed with it.
  Step step();

  /// Returns whether part of a message was read and the rest is awaited.
  bool is_within_message() const { return !bytes_.empty(); }

  /// Returns the message, whose descriptors the caller then owns. Call it once after Step::message.
  Received take();

 private:
  Step at_end();
  Step add(std::string_view bytes, std::vector<Fd> descriptors);

  int socket_;
  std::string name_;
  std::string bytes_;  ///< the bytes of the message that is not complete
  Received received_;
  bool after_plain_ = false;  ///< bytes without a descriptor are text of the last message
};

}  // namespace handoff

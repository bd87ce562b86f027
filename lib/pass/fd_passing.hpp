// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <handoff/os/fd.hpp>
#include <handoff/wire/limits.hpp>

/// Descriptors in messages over Unix sockets (unix(7), SCM_RIGHTS). No call blocks, whatever the
/// socket's flags: wait with poll(2) or FdWatcher. The other end need not use this library.
namespace handoff {

/// The kernel's SCM_MAX_FD (unix(7)): it refuses a message with more descriptors, with EINVAL.
inline constexpr std::size_t kMaxDescriptorsPerMessage = limits::kMaxDescriptors;

/// What has become of a message.
enum class SendOutcome {
  sent,         ///< the whole message, or on a stream at least its first byte and all descriptors
  would_block,  ///< the receiver's queue is full (EAGAIN), or too many are in flight between all
                ///< processes of this user (ETOOMANYREFS): wait, then send the same again
  closed,       ///< the receiver is gone (EPIPE, ECONNRESET)
  failed,  ///< for a reason of this system (a security module's EPERM, say): see `error_number`
};

/// The result of send_fds().
struct SendResult {
  SendOutcome outcome;
  std::size_t bytes_sent =
      0;                 ///< fewer than all only on SOCK_STREAM: send the rest without descriptors
  int error_number = 0;  ///< an errno value, when failed
};

/// Sends `bytes` (never none: an empty message can't carry descriptors on a stream) and copies of
/// `descriptors` over `socket`. All descriptors stay the caller's, who may close those that were
/// sent at once: the kernel holds the message's own. Throws SystemError when the arguments are
/// wrong (EBADF, EINVAL, ...), and std::invalid_argument for more than kMaxDescriptorsPerMessage.
SendResult send_fds(int socket, std::span<const char> bytes, std::span<const int> descriptors);

/// What there was to receive.
enum class ReceiveOutcome {
  received,
  would_block,
  end,    ///< the sender closed, and everything it had sent was read
  reset,  ///< the sender has died with messages of this end unread; what it had sent can still be
          ///< read (SOCK_SEQPACKET reports ECONNRESET first, then the queue, then the end)
  truncated,  ///< more descriptors or more bytes than asked for, or no room in this process's table
              ///< (MSG_CTRUNC, MSG_TRUNC): every descriptor that was received is closed
  exhausted,  ///< no memory to receive it now (ENOMEM, ENOBUFS): pause, then try again
  failed,     ///< for another reason: see `error_number`
};

/// The result of recv_fds(), and the owner of the descriptors.
struct ReceiveResult {
  ReceiveOutcome outcome;
  std::size_t size = 0;         ///< bytes in the buffer; set when received or truncated
  std::vector<Fd> descriptors;  ///< close-on-exec, in the order in which they were sent
  /// When truncated: the message is not too large, but this process's table of descriptors was
  /// full.
  bool lacks_descriptors = false;
  int error_number = 0;  ///< when exhausted or failed
};

/// What a receiver does with a message.
enum class Receive {
  take,  ///< the message is received
  look,  ///< it stays in the socket, and what is returned are copies: to be followed by
         ///< drop_message(), or by another attempt when there were no descriptors for it
};

/// Receives one message from `socket`, or on a stream what is there, into `buffer`, and at most
/// `max_descriptors` with it. Every descriptor is owned before anything else is looked at, so that
/// none leaks whatever the message is.
///
/// A receiver at its descriptor limit sees MSG_CTRUNC and no errno; that too is `truncated`. Throws
/// SystemError when the arguments are wrong.
ReceiveResult recv_fds(int socket, std::span<char> buffer, std::size_t max_descriptors,
                       Receive how = Receive::take);

/// For callers to whom one failure is the end: throws SystemError if receiving has failed or was
/// exhausted.
void throw_if_failed(const ReceiveResult& result);

/// Takes the next message off a socket that keeps messages apart, and closes what comes with it.
void drop_message(int socket);

}  // namespace handoff

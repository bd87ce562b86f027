// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <handoff/os/fd.hpp>
#include <handoff/wire/limits.hpp>

/// Descriptors in messages over Unix sockets (unix(7), SCM_RIGHTS): the only control-message code
/// in the tree. No call blocks, whatever the socket's flags.
namespace handoff {

/// The kernel's SCM_MAX_FD: a message with more is refused with EINVAL.
inline constexpr std::size_t kMaxDescriptorsPerMessage = limits::kMaxDescriptors;

enum class SendOutcome {
  sent,         ///< the whole message, or on a stream at least its first byte and all descriptors
  would_block,  ///< the receiver's queue is full (EAGAIN), or too many are in flight between all
                ///< processes of this user (ETOOMANYREFS): wait, then send the same again
  closed,       ///< the receiver is gone (EPIPE, ECONNRESET)
  failed,  ///< for a reason of this system (a security module's EPERM, say): see `error_number`
};

/// How many bytes went is in `bytes_sent`; less than all only on SOCK_STREAM.
struct SendResult {
  SendOutcome outcome;
  std::size_t bytes_sent = 0;
  int error_number = 0;
};

/// Sends `bytes` (never none: an empty message can't carry descriptors on a stream) and copies of
/// `descriptors`, which stay the caller's. Throws SystemError when the arguments are wrong (EBADF,
/// EINVAL, ...), and std::invalid_argument for more than kMaxDescriptorsPerMessage.
SendResult send_fds(int socket, std::span<const char> bytes, std::span<const int> descriptors);

enum class ReceiveOutcome {
  received,
  would_block,
  end,        ///< the sender closed, and everything it had sent was read
  reset,      ///< the sender died with messages of ours unread; what it had sent can still be
              ///< read (SOCK_SEQPACKET reports ECONNRESET first, then the queue, then the end)
  truncated,  ///< more descriptors or more bytes than asked for, or no room in our table
              ///< (MSG_CTRUNC, MSG_TRUNC): every descriptor that came was closed
  exhausted,  ///< no memory to receive it now (ENOMEM, ENOBUFS): pause, then try again
  failed,     ///< for another reason: see `error_number`
};

struct ReceiveResult {
  ReceiveOutcome outcome;
  std::size_t size = 0;         ///< bytes in the buffer; set when received or truncated
  std::vector<Fd> descriptors;  ///< close-on-exec, in the order in which they were sent
  /// When truncated: it is not too much, our table of descriptors was full.
  bool lacks_descriptors = false;
  int error_number = 0;  ///< when exhausted or failed
};

/// What a receiver does with a message.
enum class Receive {
  take,
  look,  ///< it stays in the socket, and what is returned are copies: to be followed by
         ///< drop_message(), or by another attempt when there were no descriptors for it
};

/// Receives one message, or on a stream what is there, and at most `max_descriptors` with it.
/// Every descriptor is owned before anything else is looked at.
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

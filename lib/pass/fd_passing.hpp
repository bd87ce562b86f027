// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "os/fd.hpp"
#include "wire/limits.hpp"

/// Sends and receives descriptors in messages over Unix sockets (unix(7), SCM_RIGHTS). No other
/// code in handoff handles control messages. No call blocks, whatever the socket's flags.
namespace handoff {

/// The kernel's SCM_MAX_FD: it refuses a message with more descriptors with EINVAL (unix(7)).
inline constexpr std::size_t kMaxDescriptorsPerMessage = limits::kMaxDescriptors;

/// How an attempt to send ended.
enum class SendOutcome {
  sent,         ///< the whole message, or on a stream at least its first byte and all descriptors
  would_block,  ///< the receiver's queue is full (EAGAIN), too many descriptors of this user are in
                ///< flight (ETOOMANYREFS), or the kernel lacks memory: wait, then send the same
                ///< again
  closed,       ///< the receiver is gone (EPIPE, ECONNRESET)
  failed,       ///< for a reason of this system (EPERM from a security module, for example): see
                ///< `error_number`
};

/// The result of send_fds(). `bytes_sent` is less than the whole message only on SOCK_STREAM; the
/// rest must then be sent without the descriptors.
struct SendResult {
  SendOutcome outcome;
  std::size_t bytes_sent = 0;
  int error_number = 0;
};

/// Sends `bytes`, at least one because an empty message carries no descriptors on a stream, and
/// copies of `descriptors`, which the caller keeps. Throws SystemError if the arguments are wrong
/// (EBADF, EINVAL, ...), and std::invalid_argument for more than kMaxDescriptorsPerMessage. Raises
/// no SIGPIPE.
SendResult send_fds(int socket, std::span<const char> bytes, std::span<const int> descriptors);

/// How an attempt to receive ended.
enum class ReceiveOutcome {
  received,
  would_block,
  end,    ///< the sender has closed, and everything that it had sent was read
  reset,  ///< the sender ended while messages to it were unread; what it had sent can still be read
          ///< (SOCK_SEQPACKET reports ECONNRESET first, then the queue, then the end)
  truncated,  ///< more descriptors or bytes than asked for, or no room in this process's table of
              ///< descriptors (MSG_CTRUNC, MSG_TRUNC): every descriptor that arrived was closed
  exhausted,  ///< no memory for the message now (ENOMEM, ENOBUFS): pause, then try again
  failed,     ///< for another reason: see `error_number`
};

/// The result of recv_fds(). It owns the descriptors.
struct ReceiveResult {
  ReceiveOutcome outcome;
  std::size_t size = 0;         ///< the bytes in the buffer; set if received or truncated
  std::vector<Fd> descriptors;  ///< close-on-exec, in the order in which they were sent
  /// If truncated: the table of descriptors was full, and the message itself was not too large.
  bool lacks_descriptors = false;
  int error_number = 0;  ///< the errno if exhausted or failed, else 0
};

/// What a receiver does with a message.
enum class Receive {
  take,
  look,  ///< leaves it in the socket and returns copies of its descriptors; follow with
         ///< drop_message(), or with another attempt if there was no room for the descriptors
};

/// Receives one message, or on a stream the bytes that are there, and at most `max_descriptors`
/// with it. Every descriptor is owned before anything else is examined, so none can leak.
/// Descriptors are close-on-exec.
///
/// A receiver at its limit of descriptors sees MSG_CTRUNC and no errno; that too is `truncated`.
/// Throws SystemError if the arguments are wrong. An empty packet on a SOCK_SEQPACKET socket looks
/// like `end`.
ReceiveResult recv_fds(int socket, std::span<char> buffer, std::size_t max_descriptors,
                       Receive how = Receive::take);

/// Throws SystemError if receiving has failed or was exhausted; for callers that do not try again.
void throw_if_failed(const ReceiveResult& result);

/// Removes the next message from a socket that keeps messages apart, and closes its descriptors.
/// Does nothing if none is there.
void drop_message(int socket);

}  // namespace handoff

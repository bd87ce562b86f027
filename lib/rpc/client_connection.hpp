// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <handoff/async/reactor.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/async/task.hpp>
#include <handoff/wire/dialect.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/limits.hpp>

#include "async/connect.hpp"
#include "async/exec_child.hpp"
#include "wire/byte_queue.hpp"
#include "wire/receive_buffer.hpp"
#include "wire/reply.hpp"

namespace handoff {

/// So it did because it was a command (exec:COMMAND), and that has ended.
class CommandEnded : public ConnectionLost {
 public:
  CommandEnded(const std::string& text, ExitStatus status)
      : ConnectionLost(text), status_(status) {}
  ExitStatus status() const { return status_; }

 private:
  ExitStatus status_;
};

/// One connection to a server. Without ids, replies come in the order of the requests: whoever
/// sends the n-th request gets the n-th reply. With ids they come in any order.
///
/// One coroutine may send while another receives.
class ClientConnection {
 public:
  /// Connects; see connect_to for what it throws. `address` must outlive the task.
  static Task<std::unique_ptr<ClientConnection>> connect(
      Reactor& reactor, const Address& address, TimeLimit limit,
      std::uint32_t max_frame = limits::kMaxFrame, ConnectOptions options = {});

  ClientConnection(Reactor& reactor, DialedSocket connection, std::string name,
                   std::uint32_t max_frame);
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;
  ~ClientConnection();

  /// Adds a request to what the next flush() writes. `params` and `id` are validated JSON; see
  /// append_request.
  void queue(std::string_view method, std::string_view params, std::string_view id = {},
             Dialect dialect = Dialect::article);
  /// Bytes that were queued and not yet written.
  std::size_t queued() const { return unsent_.size(); }
  /// Bytes that were queued and written so far, in all.
  std::uint64_t queued_in_all() const { return written_ + unsent_.size(); }
  std::uint64_t written() const { return written_; }
  /// Whether the server has ended its side, as far as that has arrived; for when nothing is
  /// awaited.
  bool has_ended() const;
  /// Whether more has arrived than the replies that were received; for when nothing is awaited.
  /// Only of a socket is it known. When no call waits, what has arrived fits none.
  bool has_unread() const;
  /// Writes what was queued. Throws ConnectionLost, CommandEnded if it applies, or TimedOut.
  Task<void> flush(TimeLimit limit);
  /// The same without waiting: `done` when nothing is left, `would_block` until writable(), or
  /// `broken`, for lost().
  IoResult try_flush();

  /// The next reply, if it was read already. Its views last until the next call that reads or
  /// receives.
  std::optional<Reply> try_receive();
  /// Reads once what has arrived, for try_receive(), which must have given nothing before: `done`,
  /// `would_block` until readable(), or else a result for lost().
  IoResult try_read();
  /// Whether the last try_read() may have left some of what had arrived. If so, call it again
  /// before you wait for readable().
  bool may_be_more() const { return may_be_more_; }
  /// `co_await readable()`, and writable(): true, or false when interrupt() ended the wait.
  auto readable() { return stream_.readable(); }
  auto writable() { return stream_.writable(); }
  /// Throws ConnectionLost, or CommandEnded if it applies, after a try_flush() or a try_read() that
  /// has given this.
  Task<void> lost(IoResult result);
  /// Waits for the next reply. Throws ConnectionLost, ProtocolError or TimedOut.
  Task<Reply> receive(TimeLimit limit);

  /// When the last read that brought bytes had returned.
  TimePoint received_at() const { return received_at_; }
  /// Says that no more requests come.
  void end_writing() { stream_.end_writing(); }
  /// Ends a wait, or a flush() or receive() under way as if its deadline had passed.
  void interrupt() { stream_.interrupt(); }

 private:
  Stream stream_;
  std::optional<ExecChild> child_;
  std::string name_;
  std::uint32_t max_frame_;
  ReplyParser parser_;
  ReceiveBuffer input_;
  std::size_t used_ = 0;  ///< of input_, by the reply that was given last
  ByteQueue unsent_;
  std::uint64_t written_ = 0;
  TimePoint received_at_{};
  bool may_be_more_ = false;
};

}  // namespace handoff

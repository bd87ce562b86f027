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

/// The connection was lost because the server was a command (exec:COMMAND) that has ended.
class CommandEnded : public ConnectionLost {
 public:
  CommandEnded(const std::string& text, ExitStatus status)
      : ConnectionLost(text), status_(status) {}
  /// Returns the command's exit status, or success if it replied at least once before it ended.
  ExitStatus status() const { return status_; }

 private:
  ExitStatus status_;
};

/// One connection to a server, below Client: it frames requests and replies, and matches none of
/// them. Without ids, replies arrive in the order of their requests; with ids, in any order. Used
/// on its reactor's thread only.
///
/// One coroutine may send while another one receives.
class ClientConnection {
 public:
  /// Connects. Throws what connect_to() throws. `address` and the reactor must outlive the task,
  /// and the reactor also the connection.
  static Task<std::unique_ptr<ClientConnection>> connect(
      Reactor& reactor, const Address& address, TimeLimit limit,
      std::uint32_t max_frame = limits::kMaxFrame, ConnectOptions options = {});

  /// Takes over a socket that is connected, and the command at its other end, if there is one.
  /// Error messages name the server by `name`. A reply of more than `max_frame` bytes is a
  /// ProtocolError.
  ClientConnection(Reactor& reactor, DialedSocket connection, std::string name,
                   std::uint32_t max_frame);
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;
  /// Closes the connection. A task of the reactor ends the command, if there is one.
  ~ClientConnection();

  /// Adds a request to the bytes that the next flush() writes. `params` and `id` must be valid
  /// JSON; see append_request.
  void queue(std::string_view method, std::string_view params, std::string_view id = {},
             Dialect dialect = Dialect::article);
  /// Returns the number of bytes that were queued and are not yet written.
  std::size_t queued() const { return unsent_.size(); }
  /// These return the number of bytes that were ever queued, and that were ever written.
  std::uint64_t queued_in_all() const { return written_ + unsent_.size(); }
  std::uint64_t written() const { return written_; }
  /// Returns whether the server has ended its side, as far as that has arrived. Call it only when
  /// no reply is awaited. Does not block.
  bool has_ended() const;
  /// Returns whether more bytes have arrived than the replies that were received. Call it only when
  /// no reply is awaited: these bytes answer nothing then. Does not block. It works for sockets
  /// only, and is false for anything else.
  bool has_unread() const;
  /// Writes the bytes that were queued. Throws ConnectionLost (CommandEnded if the server was a
  /// command that has ended), or TimedOut.
  Task<void> flush(TimeLimit limit);
  /// Writes the bytes that were queued as far as possible without waiting. The outcome is `done`
  /// when none is left, `would_block` when the rest must wait for writable(), or `broken`, which is
  /// for lost().
  IoResult try_flush();

  /// Returns the next reply if it was read already. Its views are valid until the next call that
  /// reads or receives. Throws ProtocolError.
  std::optional<Reply> try_receive();
  /// Reads once the bytes that have arrived, without waiting. Call it only after try_receive() has
  /// returned nothing. The outcome is `done`, `would_block` when nothing has arrived and readable()
  /// can be awaited, or one that is for lost().
  IoResult try_read();
  /// Returns whether the last try_read() may have left some of the bytes that had arrived. If so,
  /// call it again before you wait for readable().
  bool may_be_more() const { return may_be_more_; }
  /// `co_await readable()` and `co_await writable()` give true, or false if interrupt() ended the
  /// wait.
  auto readable() { return stream_.readable(); }
  auto writable() { return stream_.writable(); }
  /// Throws ConnectionLost, or CommandEnded if the server was a command that has ended. `result` is
  /// that of the try_flush() or try_read() that failed.
  Task<void> lost(IoResult result);
  /// Waits for the next reply. Its views are valid until the next call that reads or receives.
  /// Throws ConnectionLost, ProtocolError or TimedOut.
  Task<Reply> receive(TimeLimit limit);

  /// Returns when the last read that brought bytes returned.
  TimePoint received_at() const { return received_at_; }
  /// Tells the server that no more requests follow, by ending this side of the connection.
  void end_writing() { stream_.end_writing(); }
  /// Ends a wait for readable() or writable(), and a flush() or receive() under way as if its
  /// deadline had passed.
  void interrupt() { stream_.interrupt(); }

 private:
  Stream stream_;
  std::optional<ExecChild> child_;
  std::string name_;
  std::uint32_t max_frame_;
  ReplyParser parser_;
  ReceiveBuffer input_;
  std::size_t used_ = 0;  ///< the number of bytes of input_ that the reply returned last takes
  ByteQueue unsent_;
  std::uint64_t written_ = 0;
  TimePoint received_at_{};
  bool may_be_more_ = false;
};

}  // namespace handoff

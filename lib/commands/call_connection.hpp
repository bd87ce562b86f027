// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include <handoff/async/reactor.hpp>
#include <handoff/wire/dialect.hpp>

#include "async/attempts.hpp"
#include "async/time_limit.hpp"
#include "cli/stderr_log.hpp"
#include "commands/call_options.hpp"
#include "rpc/client_connection.hpp"
#include "rpc/reply_matching.hpp"

namespace handoff {

/// Why bytes of a server that answer no call are refused; the name of the server precedes the text.
inline constexpr std::string_view kUnasked = "sent something before there was a call";
inline constexpr std::string_view kTooMany = "sent more replies than there were calls";

/// The connection on which rpc-call makes its calls, in the dialect that the options choose.
class CallConnection {
 public:
  /// Begins the time of --timeout. The reactor, `options` and `log` must outlive this object.
  CallConnection(Reactor& reactor, const CallOptions& options, StderrLog& log);
  CallConnection(const CallConnection&) = delete;
  CallConnection& operator=(const CallConnection&) = delete;

  /// Connects, with as many attempts and for as long as the options allow; an attempt tries the
  /// addresses in their order until one answers. Throws what
  /// Attempts::run() throws. This object must outlive the task.
  Task<void> connect();
  /// Replaces the connection by another one, made as connect() does, but within `limit`. What was
  /// queued and not flushed is forgotten. This object must outlive the task.
  Task<void> reconnect(TimeLimit limit);
  /// Closes the connection; connect() makes another one, to the next address if there are several.
  void disconnect() {
    client_.reset();
    ++first_;
  }
  bool is_connected() const { return client_ != nullptr; }

  /// Returns the client, which exists only while is_connected().
  ClientConnection& client() { return *client_; }
  /// Returns the deadline that covers connecting and a single call together.
  TimeLimit limit() const { return limit_; }
  /// Returns what counts the attempts to connect and to call.
  Attempts& attempts() { return attempts_; }

  /// Adds a call to what the next flush() of the client writes. In JSON-RPC, `number` is its id.
  void queue(std::string_view params, std::uint64_t number);
  /// Throws ProtocolError with this reason if anything has arrived. While no call waits nothing may
  /// have: it would be taken for the reply to the next call.
  void refuse_unread(std::string_view why) const;
  /// Returns the number of the call that `reply` answers, which is one of `calls`; see
  /// call_answered_by(). Throws ProtocolError if it answers none.
  std::uint64_t number_of(const Reply& reply, WaitingCalls calls) const;

 private:
  /// Makes one attempt: tries each address.
  Task<std::unique_ptr<ClientConnection>> dial(TimeLimit limit);
  Dialect dialect() const { return options_.json_rpc ? Dialect::json_rpc : Dialect::article; }

  Reactor& reactor_;
  const CallOptions& options_;
  StderrLog& log_;
  /// The limit of connecting and of a single call, which begins with the constructor.
  TimeLimit limit_;
  Attempts attempts_;
  std::unique_ptr<ClientConnection> client_;
  std::size_t first_ = 0;  ///< the address that is tried first, modulo their number
};

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "async/attempts.hpp"
#include "async/reactor.hpp"
#include "async/time_limit.hpp"
#include "cli/stderr_log.hpp"
#include "commands/call_options.hpp"
#include "rpc/client_connection.hpp"
#include "rpc/reply_matching.hpp"
#include "wire/dialect.hpp"

namespace handoff {

/// What is wrong with bytes of a server that no call has asked for.
inline constexpr std::string_view kUnasked = "sent something before there was a call";
inline constexpr std::string_view kTooMany = "sent more replies than there were calls";

/// The connection on which rpc-call makes its calls, in the dialect of the options.
class CallConnection {
 public:
  /// The time of --timeout begins now. `options` and `log` must outlive this object.
  CallConnection(Reactor& reactor, const CallOptions& options, StderrLog& log);
  CallConnection(const CallConnection&) = delete;
  CallConnection& operator=(const CallConnection&) = delete;

  /// Tries until there is a connection, or as long as the options allow.
  Task<void> connect();
  /// Closes the connection after a call that the server refused; connect() makes another one.
  void disconnect() { client_.reset(); }
  bool is_connected() const { return client_ != nullptr; }

  /// Only while there is a connection.
  ClientConnection& client() { return *client_; }
  /// The deadline of connecting and of a single call together.
  TimeLimit limit() const { return limit_; }
  /// Counts the attempts to connect, and those to call.
  Attempts& attempts() { return attempts_; }

  /// Adds a call to what the next flush writes. In JSON-RPC, `number` is its id.
  void queue(std::string_view params, std::uint64_t number);
  /// Throws ProtocolError with this reason when something has arrived. When no call waits, nothing
  /// may have: it would be taken for the next reply.
  void refuse_unread(std::string_view why) const;
  /// The number of the call that a reply answers; see call_answered_by().
  std::uint64_t number_of(const Reply& reply, WaitingCalls calls) const;

 private:
  Dialect dialect() const { return options_.json_rpc ? Dialect::json_rpc : Dialect::article; }

  Reactor& reactor_;
  const CallOptions& options_;
  StderrLog& log_;
  TimeLimit limit_;
  Attempts attempts_;
  std::unique_ptr<ClientConnection> client_;
};

}  // namespace handoff

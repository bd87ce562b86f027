// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>

#include "cli/stderr_log.hpp"
#include "cli/stdout_writer.hpp"
#include "commands/call_connection.hpp"
#include "commands/call_options.hpp"
#include "commands/reply_printer.hpp"

namespace handoff {

/// A call that is made again and again. Where stdout is a terminal, each result is drawn over the
/// one before, and that of a master's `status` as a table; elsewhere each is a line.
class CallWatch {
 public:
  /// All of these must outlive this object.
  CallWatch(Reactor& reactor, const CallOptions& options, StderrLog& log, StdoutWriter& output,
            ReplyPrinter& printer);

  /// Calls until the reactor ends. Once there was a result, a server that is not there is waited
  /// for, and why is said on stderr; before, run() throws what CallConnection::connect() and
  /// ClientConnection::receive() do. This object must outlive the task.
  Task<void> run();

 private:
  Task<void> call();
  void show(const Reply& reply);
  void draw(std::string_view text);

  Reactor& reactor_;
  const CallOptions& options_;
  StderrLog& log_;
  StdoutWriter& output_;
  ReplyPrinter& printer_;
  std::optional<CallConnection> connection_;  ///< while there is one
  bool has_result_ = false;                   ///< a call was answered
  std::string last_;                          ///< the last result that was drawn
  TimePoint last_at_{};
  std::string trouble_;  ///< that was said last, until a call is answered
};

}  // namespace handoff

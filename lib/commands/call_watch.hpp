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

/// Makes a call again and again. If stdout is a terminal, each result is drawn over the one before,
/// and that of a master's `status` as a table; otherwise each result is a line.
class CallWatch {
 public:
  /// All arguments must outlive this object.
  CallWatch(Reactor& reactor, const CallOptions& options, StderrLog& log, StdoutWriter& output,
            ReplyPrinter& printer);

  /// Calls until the reactor ends. After the first result, it waits for a server that is not there,
  /// and says on stderr why; before that, it throws what CallConnection::connect() and
  /// ClientConnection::receive() throw. This object must outlive the task.
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
  std::optional<CallConnection> connection_;  ///< set while there is a connection
  bool has_result_ = false;                   ///< whether any call was answered
  std::string last_;                          ///< the last result that was drawn
  TimePoint last_at_{};
  std::string trouble_;  ///< what was said last on stderr; empty after a call was answered
};

}  // namespace handoff

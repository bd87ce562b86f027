// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "cli/exit_status.hpp"
#include "cli/stderr_log.hpp"
#include "cli/stdout_writer.hpp"
#include "commands/call_connection.hpp"
#include "commands/call_lines.hpp"
#include "commands/call_options.hpp"
#include "commands/reply_printer.hpp"

namespace handoff {

/// What rpc-call does: one call, or one for each line of stdin; results on stdout.
class CallCommand {
 public:
  /// Throws InvalidArgument for params that can't be sent. The reactor and `log` must outlive this
  /// object.
  CallCommand(Reactor& reactor, CallOptions options, StderrLog& log);
  CallCommand(const CallCommand&) = delete;
  CallCommand& operator=(const CallCommand&) = delete;

  /// Returns the exit status. This object must outlive the reactor's run.
  Task<ExitCode> run();

 private:
  Reactor& reactor_;
  CallOptions options_;
  StderrLog& log_;
  StdoutWriter output_;
  ReplyPrinter printer_;
  std::optional<CallConnection> connection_;  ///< once the clock runs
  std::optional<CallLines> lines_;
};

}  // namespace handoff

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
#include "commands/progress.hpp"
#include "commands/reply_printer.hpp"

namespace handoff {

/// The work of rpc-call: one call, or one call for each line of stdin, with results on stdout and
/// errors on stderr.
///
/// CallConnection connects and counts the attempts; CallOnce or CallLines makes the calls on it;
/// ReplyPrinter turns each reply into output, which StdoutWriter writes beside the calls, so that a
/// slow reader of stdout delays no reply.
class CallCommand {
 public:
  /// Throws InvalidArgument for params that cannot be sent. The reactor and `log` must outlive this
  /// object.
  CallCommand(Reactor& reactor, CallOptions options, StderrLog& log);
  CallCommand(const CallCommand&) = delete;
  CallCommand& operator=(const CallCommand&) = delete;

  /// Connects, makes the calls, and returns the exit status once all output is written. Throws what
  /// Attempts::run() throws if there is no connection, and TimedOut, ConnectionLost, ProtocolError
  /// or SystemError if a call gets no reply. This object must outlive the reactor's run.
  Task<ExitCode> run();

  /// Says on stderr how far the lines of stdin are.
  void show_progress() { progress_.show_once(); }

 private:
  Task<ExitCode> make_calls();
  LineCounts line_counts() const { return lines_ ? lines_->counts() : LineCounts(); }

  Reactor& reactor_;
  CallOptions options_;
  StderrLog& log_;
  StdoutWriter output_;
  ReplyPrinter printer_;
  std::optional<CallConnection>
      connection_;  ///< exists from the beginning of run(), when the time-out begins
  std::optional<CallLines> lines_;
  Progress progress_;
};

}  // namespace handoff

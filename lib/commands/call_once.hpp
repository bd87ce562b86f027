// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "async/task.hpp"
#include "cli/exit_status.hpp"
#include "commands/call_connection.hpp"
#include "commands/call_options.hpp"
#include "commands/reply_printer.hpp"

namespace handoff {

/// One call, which is made again as often as the options say when the server refuses it.
class CallOnce {
 public:
  /// All of these must outlive this object. There is a connection already.
  CallOnce(const CallOptions& options, CallConnection& connection, ReplyPrinter& printer)
      : options_(options), connection_(connection), printer_(printer) {}

  /// Shows the reply. This object must outlive the task.
  Task<ExitCode> run();

 private:
  Task<std::optional<ExitCode>> try_call(std::optional<KeptReply>& refusal);
  bool is_worth_retrying(const Reply& reply) const;

  const CallOptions& options_;
  CallConnection& connection_;
  ReplyPrinter& printer_;
};

}  // namespace handoff

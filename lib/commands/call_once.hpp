// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include "async/task.hpp"
#include "cli/exit_status.hpp"
#include "commands/call_connection.hpp"
#include "commands/call_options.hpp"
#include "commands/reply_printer.hpp"

namespace handoff {

/// Makes one call, and makes it again, as often as the options say, if the server refuses it.
class CallOnce {
 public:
  /// `connection` must be connected. All arguments must outlive this object.
  CallOnce(const CallOptions& options, CallConnection& connection, ReplyPrinter& printer)
      : options_(options), connection_(connection), printer_(printer) {}

  /// Shows the reply and returns the exit status. If the time ends while a refused call is
  /// repeated, the last refusal is shown. Throws if the call gets no reply. This object must
  /// outlive the task.
  Task<ExitCode> run();

 private:
  /// Makes the call once. Returns nothing if it may be made again.
  Task<std::optional<ExitCode>> try_call(std::optional<KeptReply>& refusal);
  bool is_of_unknown_method(const Reply& reply) const;
  Task<std::string> suggest_method();
  /// Returns whether the reply says that the server did not run the call, and a retry is left.
  bool is_worth_retrying(const Reply& reply) const;

  const CallOptions& options_;
  CallConnection& connection_;
  ReplyPrinter& printer_;
};

}  // namespace handoff

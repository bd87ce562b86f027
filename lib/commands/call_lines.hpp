// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "async/condition.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "async/time_limit.hpp"
#include "cli/exit_status.hpp"
#include "cli/stdout_writer.hpp"
#include "commands/call_connection.hpp"
#include "commands/call_options.hpp"
#include "commands/reply_printer.hpp"

namespace handoff {

/// A call for each line of stdin, as many at a time as the options say. The results are printed in
/// the order of the lines.
class CallLines {
 public:
  /// All of these must outlive this object. There is a connection already.
  CallLines(Reactor& reactor, const CallOptions& options, CallConnection& connection,
            StdoutWriter& output, ReplyPrinter& printer);
  CallLines(const CallLines&) = delete;
  CallLines& operator=(const CallLines&) = delete;

  /// Returns the worst of the calls' exit statuses. This object must outlive the reactor's run.
  Task<ExitCode> run();
  /// To be called when run() has failed: no further call is made, and replies that were read before
  /// their turn are shown.
  void abandon();

 private:
  /// What is still to come from stdin.
  enum class Input : std::uint8_t {
    open,
    ended,
    abandoned,  ///< a call has failed, and no further one is made
  };

  /// A line whose reply is still to come, or that was no JSON.
  struct PendingLine {
    std::uint64_t number;  ///< also the call's id in JSON-RPC
    TimeLimit limit;
    std::string problem;
  };

  void send_line(std::string_view line);
  Task<void> send_lines();
  Task<void> send_until_end();
  bool has_room() const { return pending_.size() < options_.pipeline; }
  Task<ExitCode> answer_line(const PendingLine& line);
  std::uint64_t number_of(const Reply& reply) const;
  std::optional<ExitCode> show_early_reply(const PendingLine& line);
  void show_early_replies();

  Reactor& reactor_;
  const CallOptions& options_;
  CallConnection& connection_;
  StdoutWriter& output_;
  ReplyPrinter& printer_;
  std::deque<PendingLine> pending_;
  std::map<std::uint64_t, KeptReply> early_;  ///< of JSON-RPC, until their turn
  std::uint64_t line_count_ = 0;
  Input input_ = Input::open;
  std::exception_ptr input_failure_;
  Condition line_sent_;  ///< is also told when the input has ended
  Condition line_answered_;
};

}  // namespace handoff

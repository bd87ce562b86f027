// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <handoff/async/condition.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>

#include "async/time_limit.hpp"
#include "cli/exit_status.hpp"
#include "cli/stdout_writer.hpp"
#include "commands/call_connection.hpp"
#include "commands/call_options.hpp"
#include "commands/progress.hpp"
#include "commands/reply_printer.hpp"

namespace handoff {

/// Makes a call for each line of stdin, as many at a time as the options say, and prints the
/// results in the order of the lines. A server that ends in order, by a reply that says that it is
/// the last one, costs nothing: what it has not run is sent again on another connection.
class CallLines {
 public:
  /// `connection` must be connected. All arguments must outlive this object.
  CallLines(Reactor& reactor, const CallOptions& options, CallConnection& connection,
            StdoutWriter& output, ReplyPrinter& printer);
  CallLines(const CallLines&) = delete;
  CallLines& operator=(const CallLines&) = delete;

  /// Reads stdin to its end and returns the worst exit status of the calls; a line that is not JSON
  /// counts as a failed call. Throws if a call gets no reply or stdin cannot be read; then call
  /// abandon(). This object must outlive the reactor's run.
  Task<ExitCode> run();
  /// Ends the calls after run() has thrown: no further call is made, and replies that were read
  /// before their turn are shown.
  void abandon();

  /// Returns how many lines were answered until now, including those that were not sent because
  /// they are not JSON.
  const LineCounts& counts() const { return counts_; }

 private:
  /// The state of stdin.
  enum class Input : std::uint8_t {
    open,
    ended,
    abandoned,  ///< a call has failed, and no further one is made
  };

  /// The state of the connection.
  enum class Link : std::uint8_t {
    open,
    ended,  ///< the server sends nothing more on it, and has not run what it has not answered
  };

  /// A line that waits for its reply or, if it was not JSON, for its turn.
  struct PendingLine {
    std::uint64_t number;  ///< also the call's id in JSON-RPC
    TimeLimit limit;
    std::string problem;
    std::string params;  ///< the line, which may have to be sent again
  };

  /// Queues the call of a line, or notes why it cannot be sent.
  void send_line(std::string_view line);
  /// Reads stdin to its end and sends the calls, and keeps the exception that ends it.
  Task<void> send_lines();
  Task<void> send_until_end();
  /// Writes what was queued, unless the connection has ended: send_again() then sends it. Only one
  /// task writes at a time. A failure is left to the task that reads.
  Task<void> flush();
  Task<Reply> receive(TimeLimit limit);
  /// Sends the lines that wait, on another connection.
  Task<void> send_again(TimeLimit limit);
  void queue(const PendingLine& line);
  /// Returns whether another line may wait.
  bool has_room() const { return pending_.size() < options_.pipeline; }
  /// Waits for the reply to the line and shows it. `line` must outlive the task.
  Task<ExitCode> answer_line(const PendingLine& line);
  std::uint64_t number_of(const Reply& reply) const;
  /// Shows the reply to the line if it was read before its turn.
  std::optional<ExitCode> show_early_reply(const PendingLine& line);
  void show_early_replies();

  Reactor& reactor_;
  const CallOptions& options_;
  CallConnection& connection_;
  StdoutWriter& output_;
  ReplyPrinter& printer_;
  /// The lines that wait for their replies, in order and without gaps between their numbers.
  std::deque<PendingLine> pending_;
  std::map<std::uint64_t, KeptReply> early_;  ///< replies of JSON-RPC that wait for their turn
  std::uint64_t line_count_ = 0;
  LineCounts counts_;
  Input input_ = Input::open;
  Link link_ = Link::open;
  bool is_flushing_ = false;
  std::exception_ptr write_failure_;  ///< why the connection could not be written to
  /// Why stdin could not be read or a call not be sent; run() throws it after the replies are
  /// shown.
  std::exception_ptr input_failure_;
  Condition line_sent_;  ///< is notified of each line and of the end of the input
  Condition line_answered_;
  Condition flush_possible_;  ///< notified when nobody writes any more, and of a new connection
};

}  // namespace handoff

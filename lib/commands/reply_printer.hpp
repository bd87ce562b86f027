// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cli/exit_status.hpp"
#include "cli/stderr_log.hpp"
#include "cli/stdout_writer.hpp"
#include "commands/call_options.hpp"
#include "wire/reply.hpp"

namespace handoff {

/// A copy of a reply that is shown after the parser has read another one.
struct KeptReply {
  explicit KeptReply(const Reply& reply)
      : is_error(reply.is_error()), result(reply.result), body(reply.body) {}

  /// The fields of Reply that are needed to show it; `result` and `body` are validated JSON.
  bool is_error;
  std::string result;
  std::string body;
};

/// Shows the replies to the calls of rpc-call: results on stdout, errors on stderr. It does not
/// block: StdoutWriter does the writing.
class ReplyPrinter {
 public:
  /// The line of stdin that a reply answers, if calls are made from lines.
  using LineNumber = std::optional<std::uint64_t>;

  /// All arguments must outlive this object.
  ReplyPrinter(const CallOptions& options, StderrLog& log, StdoutWriter& output)
      : options_(options), log_(log), output_(output) {}

  /// Prints a reply, and returns the exit status of rpc-call if it makes no other call.
  /// `remedy` follows an error's message: what the user can do about it, " (...)".
  ExitCode show(const Reply& reply, LineNumber line, std::string_view remedy = "");
  ExitCode show(const KeptReply& kept, LineNumber line, std::string_view remedy = "");
  /// Prints the result of the built-in method `methods`, one name per line. Throws ProtocolError if
  /// the result is no array.
  ExitCode show_methods(const Reply& reply);
  /// Logs why a line of stdin was not sent, and prints null in its place.
  void show_problem(std::uint64_t line, std::string_view problem);
  /// Prints null where a line of stdin has no result.
  void show_nothing() { print("null"); }
  /// Returns the line for the log about an error: "echo on ./s failed: busy". `result` is the
  /// result of the error reply.
  std::string describe_error(std::string_view result, LineNumber line) const;

 private:
  void print(std::string_view text);

  const CallOptions& options_;
  StderrLog& log_;
  StdoutWriter& output_;
};

}  // namespace handoff

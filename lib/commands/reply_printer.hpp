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

/// A reply that is shown later than the next one is read.
struct KeptReply {
  explicit KeptReply(const Reply& reply)
      : is_error(reply.is_error()), result(reply.result), body(reply.body) {}

  bool is_error;
  std::string result;
  std::string body;
};

/// Shows the replies to the calls of rpc-call: results on stdout, errors on stderr.
class ReplyPrinter {
 public:
  /// The line of stdin that a reply answers, when calls are made of those.
  using LineNumber = std::optional<std::uint64_t>;

  /// All of these must outlive this object.
  ReplyPrinter(const CallOptions& options, StderrLog& log, StdoutWriter& output)
      : options_(options), log_(log), output_(output) {}

  /// Prints a reply, and returns the exit status that it has as the only one.
  ExitCode show(const Reply& reply, LineNumber line);
  ExitCode show(const KeptReply& kept, LineNumber line);
  /// Prints the result of the built-in `methods`, a name a line. Throws ProtocolError when it is no
  /// list.
  ExitCode show_methods(const Reply& reply);
  /// Says why a line of stdin was not sent; it has null in the output.
  void show_problem(std::uint64_t line, std::string_view problem);
  /// Prints null where a line of stdin has no result.
  void show_nothing() { print("null"); }
  /// "echo on ./s failed: busy", from the result of an error reply.
  std::string describe_error(std::string_view result, LineNumber line) const;

 private:
  void print(std::string_view text);

  const CallOptions& options_;
  StderrLog& log_;
  StdoutWriter& output_;
};

}  // namespace handoff

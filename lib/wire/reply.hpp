// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace handoff {

/// A reply, of either dialect. Views point into the body or into the parser, until its next use.
struct Reply {
  std::string_view out{};            ///< "error" for an error; empty for another of JSON-RPC
  std::string_view result = "null";  ///< validated JSON, as it came; of an error, its object
  std::string_view id{};             ///< as in Request
  std::string_view body{};           ///< all of it

  bool is_error() const { return out == "error"; }
};

/// Reads bodies as replies of either dialect, and validates every byte of them as RequestParser
/// does. It keeps memory for the largest body so far.
class ReplyParser {
 public:
  ReplyParser();
  ~ReplyParser();
  ReplyParser(const ReplyParser&) = delete;
  ReplyParser& operator=(const ReplyParser&) = delete;

  /// Reads `body`, which must have ReceiveBuffer::kPadding readable bytes behind it. Throws
  /// ProtocolError when it is no reply. The result is valid until the next use, and as long as the
  /// body.
  Reply parse(std::string_view body);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

/// The `result` of an error reply.
struct ErrorResult {
  int code = 0;
  std::string message;
  std::string data;  ///< validated JSON, empty when absent
};

/// The `result` of an error reply, taken apart. What is missing or of another type stays empty.
ErrorResult parse_error_result(std::string_view result);

}  // namespace handoff

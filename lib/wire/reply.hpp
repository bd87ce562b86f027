// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace handoff {

/// A reply of either dialect. The views point into the body or into the parser, and are valid until
/// the parser's next use and for as long as the body exists.
struct Reply {
  std::string_view
      out{};  ///< the name of the reply: "error" for an error, empty for another reply of JSON-RPC
  std::string_view result =
      "null";  ///< validated JSON with its spelling unchanged; the error object of an error
  std::string_view id{};    ///< as in Request
  std::string_view body{};  ///< the whole body
  /// The reply is the last one on its connection: requests without a reply were not run, and may be
  /// sent again elsewhere. Only replies of the article's dialect say so.
  bool is_last = false;

  bool is_error() const { return out == "error"; }
};

/// Reads bodies as replies of either dialect. It validates every byte of them, as RequestParser
/// does. A parser serves any number of connections of one thread, and keeps memory for the largest
/// body so far.
class ReplyParser {
 public:
  ReplyParser();
  ~ReplyParser();
  ReplyParser(const ReplyParser&) = delete;
  ReplyParser& operator=(const ReplyParser&) = delete;

  /// Reads `body`, which ReceiveBuffer::kPadding readable bytes must follow. Throws ProtocolError
  /// if it is not a reply.
  Reply parse(std::string_view body);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

/// The error object of an error reply: what Reply::result holds if Reply::is_error().
struct ErrorResult {
  int code = 0;
  std::string message;
  std::string data;  ///< validated JSON, empty when absent
};

/// Reads the error object of an error reply. A field that is missing or has another type stays
/// empty, or 0. Copies the text, which needs no padding.
ErrorResult parse_error_result(std::string_view result);

}  // namespace handoff

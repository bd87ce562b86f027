// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

namespace handoff {

/// The codes of error replies: those of JSON-RPC 2.0, and ours below -32000 (handoff-wire(7)).
enum class ErrorCode : int {
  parse_error = -32700,
  invalid_request = -32600,
  method_not_found = -32601,
  invalid_params = -32602,
  internal_error = -32603,
  handler_failed = -32001,
  timed_out = -32002,
  busy = -32003,
  worker_died = -32004,
  shutting_down = -32005,
};

/// A request. Views point into the body or into the parser, until its next use.
struct Request {
  std::string_view method;
  std::string_view params = "null";  ///< validated JSON, as it came
  std::string_view id;               ///< validated JSON (a string or a number), empty when absent
};

/// Why a body is no request, and the id to answer under when it could be told.
struct BadRequest {
  ErrorCode code;
  std::string_view message;
  std::string_view id;
};

/// A reply. Views point into the body or into the parser, until its next use.
struct Reply {
  std::string_view out;
  std::string_view result = "null";  ///< validated JSON, as it came
  std::string_view id;               ///< as in Request
  std::string_view body;             ///< all of it
};

/// The `result` of an error reply.
struct ErrorResult {
  int code = 0;
  std::string message;
  std::string data;  ///< validated JSON, empty when absent
};

/// The peer sent what the protocol does not allow.
class ProtocolError : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// Reads bodies as the article's messages. Every byte of a body is validated: JSON's grammar,
/// UTF-8, escapes, and nesting of at most frame::kMaxDepth. One parser serves any number of
/// connections; it keeps memory for the largest body so far.
///
/// Bodies must have ReceiveBuffer::kPadding readable bytes behind them.
class MessageParser {
 public:
  MessageParser();
  ~MessageParser();
  MessageParser(const MessageParser&) = delete;
  MessageParser& operator=(const MessageParser&) = delete;

  std::variant<Request, BadRequest> parse_request(std::string_view body);
  /// Throws ProtocolError when `body` is no reply.
  Reply parse_reply(std::string_view body);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

/// What is wrong with `text` as one JSON value that shall stand in a message (so it may nest one
/// level less than a body), or nothing. Copies it; for what people and commands write.
std::optional<std::string> json_problem(std::string_view text);

/// The `result` of an error reply, taken apart. What is missing or of another type stays empty.
ErrorResult parse_error_result(std::string_view result);

/// Appends a body to `out`. `params`, `result` and `id` are validated JSON, an empty `id` is left
/// out, and `quoted_name` is a JSON string.
void append_request(std::string& out, std::string_view method, std::string_view params,
                    std::string_view id = {});
void append_reply(std::string& out, std::string_view quoted_name, std::string_view result,
                  std::string_view id = {});
void append_error(std::string& out, ErrorCode code, std::string_view message, std::string_view data,
                  std::string_view id = {});

/// `text`, which may be any bytes, as a JSON string; what is no UTF-8 becomes U+FFFD.
std::string quote_json(std::string_view text);

/// A JSON value as one line, its tokens untouched.
std::string minify_json(std::string_view json);

/// The text of a JSON string, or nothing when `json` is another value.
std::optional<std::string> json_string(std::string_view json);

}  // namespace handoff

// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
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
  unreachable = -32006,
};

/// Which messages a body holds.
enum class Dialect : std::uint8_t {
  article,   ///< {"in":…} and {"out":…}
  json_rpc,  ///< JSON-RPC 2.0
};

/// A request. Views point into the body or into the parser, until its next use.
struct Request {
  std::string_view method;
  std::string_view params = "null";  ///< validated JSON, as it came
  std::string_view id;               ///< validated JSON (a string, a number or, in JSON-RPC, null),
                                     ///< empty when absent
  Dialect dialect = Dialect::article;

  /// Nobody waits for a reply.
  bool is_notification() const { return dialect == Dialect::json_rpc && id.empty(); }
};

/// Why something is no request, and the id to answer under when it could be told.
struct BadRequest {
  ErrorCode code{};
  std::string_view message;
  std::string_view id;
  Dialect dialect = Dialect::article;
};

/// What a client sent in one body: one request, or a batch of them.
using ParsedRequest = std::variant<Request, BadRequest>;
struct ParsedBody {
  std::span<const ParsedRequest> requests;  ///< of a batch at least one, else just one
  bool is_batch = false;                    ///< their replies go back in one array
};

/// A reply, of either dialect. Views point into the body or into the parser, until its next use.
struct Reply {
  std::string_view out;              ///< "error" for an error; empty for another of JSON-RPC
  std::string_view result = "null";  ///< validated JSON, as it came; of an error, its object
  std::string_view id;               ///< as in Request
  std::string_view body;             ///< all of it

  bool is_error() const { return out == "error"; }
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

/// Reads bodies as messages of either dialect. Every byte of a body is validated: JSON's grammar,
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

  /// What does not tell its dialect is judged as `usual` has it. Valid until the next use.
  ParsedBody parse_body(std::string_view body, Dialect usual = Dialect::article);
  /// Whether `text` is one JSON value that may stand in a message (so it may nest one level less
  /// than a body).
  bool is_json(std::string_view text);
  /// Throws ProtocolError when `body` is no reply.
  Reply parse_reply(std::string_view body);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

/// What is wrong with `text`, and where, as one JSON value that is to stand in a message (so it may
/// nest one level less than a body), or nothing. Copies it; for what people and commands write.
std::optional<std::string> json_problem(std::string_view text);

/// The `result` of an error reply, taken apart. What is missing or of another type stays empty.
ErrorResult parse_error_result(std::string_view result);

/// Whether JSON-RPC allows this validated JSON as params: an object or an array.
bool is_structured(std::string_view json);

/// Appends a body to `out`. `params`, `result` and `id` are validated JSON, and `quoted_name` is a
/// JSON string. An empty `id` is left out, but null in a reply of JSON-RPC; there params that are
/// null are left out too.
void append_request(std::string& out, Dialect dialect, std::string_view method,
                    std::string_view params, std::string_view id = {});
void append_reply(std::string& out, Dialect dialect, std::string_view quoted_name,
                  std::string_view result, std::string_view id = {});
void append_error(std::string& out, Dialect dialect, ErrorCode code, std::string_view message,
                  std::string_view data, std::string_view id = {});

/// `text`, which may be any bytes, as a JSON string; what is no UTF-8 becomes U+FFFD.
std::string quote_json(std::string_view text);

/// A JSON value as one line, its tokens untouched.
std::string minify_json(std::string_view json);

/// The text of a JSON string, or nothing when `json` is another value.
std::optional<std::string> json_string(std::string_view json);

}  // namespace handoff

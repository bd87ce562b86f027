// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <variant>

#include "wire/dialect.hpp"
#include "wire/errors.hpp"
#include "wire/reply.hpp"

namespace handoff {

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

}  // namespace handoff

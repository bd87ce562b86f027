// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <variant>

#include "wire/dialect.hpp"
#include "wire/errors.hpp"

namespace handoff {

/// A request. The views point into the body or into the parser, and are valid until the parser's
/// next use and for as long as the body exists.
struct Request {
  std::string_view method;
  std::string_view params = "null";  ///< validated JSON with its spelling unchanged
  std::string_view id;               ///< validated JSON (a string, a number or, in JSON-RPC, null),
                                     ///< empty when absent
  Dialect dialect = Dialect::article;

  /// Returns whether the client expects no reply. Only JSON-RPC has notifications.
  bool is_notification() const { return dialect == Dialect::json_rpc && id.empty(); }
};

/// Why a message is not a request, and the id under which the error is to be answered: validated
/// JSON, empty if the message has no usable id.
struct BadRequest {
  ErrorCode code{};
  /// A phrase for the error reply, without a full stop.
  std::string_view message;
  std::string_view id;
  Dialect dialect = Dialect::article;
};

/// What one body holds: one request or a batch of them, each judged by itself.
using ParsedRequest = std::variant<Request, BadRequest>;
struct ParsedBody {
  std::span<const ParsedRequest> requests;  ///< exactly one, unless this is a batch
  bool is_batch = false;                    ///< the replies go back together in one array
};

/// Reads bodies as requests of either dialect. It validates every byte of a body: JSON's grammar,
/// UTF-8, escapes, and nesting of at most limits::kMaxDepth. A parser serves any number of
/// connections of one thread, and keeps memory for the largest body so far.
class RequestParser {
 public:
  RequestParser();
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// Reads `body`, which ReceiveBuffer::kPadding readable bytes must follow. A message that does
  /// not show its dialect is judged as one of the dialect `usual`. A body that is not JSON, or a
  /// batch that is empty or has more than limits::kMaxBatch requests, gives one BadRequest. Throws
  /// nothing but std::bad_alloc.
  ParsedBody parse(std::string_view body, Dialect usual = Dialect::article);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace handoff

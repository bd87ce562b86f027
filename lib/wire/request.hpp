// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <variant>

#include <handoff/wire/dialect.hpp>
#include <handoff/wire/errors.hpp>

namespace handoff {

/// A request, as an InstantHandler gets it. The views point into the body or into the parser, and
/// are valid until the parser's next use.
struct Request {
  std::string_view method;
  std::string_view params = "null";  ///< validated JSON, as it came
  std::string_view id;               ///< validated JSON (a string, a number or, in JSON-RPC, null),
                                     ///< empty when absent
  Dialect dialect = Dialect::article;

  /// Returns whether the client wants no reply.
  bool is_notification() const { return dialect == Dialect::json_rpc && id.empty(); }
};

/// The reason why a body is no request, and the id to answer under when it could be told.
struct BadRequest {
  ErrorCode code{};
  std::string_view message;
  std::string_view id;
  Dialect dialect = Dialect::article;
};

/// The contents of one body: one request, or a batch of them.
using ParsedRequest = std::variant<Request, BadRequest>;
struct ParsedBody {
  std::span<const ParsedRequest> requests;  ///< of a batch at least one, else just one
  bool is_batch = false;                    ///< their replies go back in one array
};

/// Reads bodies as requests of either dialect. Every byte of a body is validated: JSON's grammar,
/// UTF-8, escapes, and nesting of at most limits::kMaxDepth. One parser serves any number of
/// connections; it keeps memory for the largest body so far.
class RequestParser {
 public:
  RequestParser();
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// Reads `body`, after which ReceiveBuffer::kPadding bytes must be readable. A body that does not
  /// tell its dialect is judged as `usual` has it. The result is valid until the next use, and as
  /// long as the body.
  ParsedBody parse(std::string_view body, Dialect usual = Dialect::article);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace handoff

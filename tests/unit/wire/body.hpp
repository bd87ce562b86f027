// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <variant>

#include <handoff/wire/dialect.hpp>
#include <handoff/wire/request.hpp>

#include "wire/receive_buffer.hpp"
#include "wire/reply.hpp"

namespace handoff::test {

/// Bodies as a parser gets them: with the padding behind them. Each use ends the last one's views.
class Bodies {
 public:
  std::string_view place(std::string_view text) {
    buffer_ = ReceiveBuffer(text.size());
    buffer_.append(text);
    return {buffer_.bytes().data(), buffer_.bytes().size()};
  }
  ParsedBody parse_body(std::string_view text, Dialect usual = Dialect::article) {
    return parser_.parse(place(text), usual);
  }
  ParsedRequest parse(std::string_view text, Dialect usual = Dialect::article) {
    const ParsedBody body = parse_body(text, usual);
    REQUIRE(body.requests.size() == 1);
    CHECK(!body.is_batch);
    return body.requests.front();
  }
  Request accept(std::string_view text, Dialect usual = Dialect::article) {
    const auto parsed = parse(text, usual);
    if (const auto* bad = std::get_if<BadRequest>(&parsed)) { FAIL(text << ": " << bad->message); }
    return std::get<Request>(parsed);
  }
  BadRequest refuse(std::string_view text, Dialect usual = Dialect::article) {
    const auto parsed = parse(text, usual);
    if (std::holds_alternative<Request>(parsed)) { FAIL("accepted: " << text); }
    return std::get<BadRequest>(parsed);
  }
  Reply reply(std::string_view text) { return reply_parser_.parse(place(text)); }

 private:
  RequestParser parser_;
  ReplyParser reply_parser_;
  ReceiveBuffer buffer_{1};
};

inline std::string repeat(std::string_view text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) { out.append(text); }
  return out;
}

/// `depth` arrays in one another.
inline std::string nested(std::size_t depth) {
  return repeat("[", depth) + repeat("]", depth);
}

}  // namespace handoff::test

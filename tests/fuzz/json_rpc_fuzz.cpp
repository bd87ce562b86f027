// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include <handoff/wire/dialect.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/json_text.hpp>
#include <handoff/wire/request.hpp>

#include "fuzz/judge.hpp"
#include "fuzz/support.hpp"
#include "wire/message_writer.hpp"
#include "wire/reply.hpp"

/// Batches and notifications: each request is judged as another judges it, and each that waits
/// for a reply gets one that can be read, under its id.
namespace handoff::fuzz {
namespace {

std::string_view id_to_expect(Dialect dialect, std::string_view id) {
  return id.empty() && dialect == Dialect::json_rpc ? "null" : id;
}

void check_result(ReplyParser& parser, const std::string& text, const Request& request) {
  PlacedBody body(text);
  const Reply reply = parser.parse(body.text());
  check(reply.result == request.params, "a result is read as it was written");
  check(reply.id == id_to_expect(request.dialect, request.id), "its id too");
  check(reply.out == (request.dialect == Dialect::article ? request.method : ""), "its name too");
}

void check_error(ReplyParser& parser, const std::string& text, const BadRequest& bad,
                 std::string_view data) {
  PlacedBody body(text);
  const Reply reply = parser.parse(body.text());
  check(reply.is_error(), "an error is read as one");
  check(reply.id == id_to_expect(bad.dialect, bad.id), "its id is read as it was written");
  const ErrorResult error = parse_error_result(reply.result);
  check(error.code == static_cast<int>(bad.code), "its code too");
  check(error.message == bad.message, "its message too");
  check(error.data.empty() == data.empty(), "its data too");
  if (!data.empty()) { check(value_of(error.data) == value_of(data), "its data is the same"); }
}

/// The reply of a server that answers with the params; the error that it could answer with is
/// checked too.
std::string answer(ReplyParser& parser, const Request& request) {
  std::string error;
  const BadRequest bad{ErrorCode::handler_failed, request.method, request.id, request.dialect};
  append_error(error, bad.dialect, bad.code, bad.message, request.id, bad.id);
  check_error(parser, error, bad, request.id);

  std::string reply;
  append_reply(reply, request.dialect, quote_json(request.method), request.params, request.id);
  check_result(parser, reply, request);
  return reply;
}

std::string answer(ReplyParser& parser, const BadRequest& bad) {
  std::string error;
  append_error(error, bad.dialect, bad.code, bad.message, {}, bad.id);
  check_error(parser, error, bad, {});
  return error;
}

void check_replies(const ParsedBody& parsed) {
  ReplyParser parser;
  std::string replies;
  std::size_t expected = 0;
  for (const ParsedRequest& each : parsed.requests) {
    if (const auto* bad = std::get_if<BadRequest>(&each)) {
      check(!parsed.is_batch || bad->dialect == Dialect::json_rpc, "a batch has one dialect");
      replies.append(answer(parser, *bad)).append(",");
      ++expected;
      continue;
    }
    const auto& request = std::get<Request>(each);
    check(!parsed.is_batch || request.dialect == Dialect::json_rpc, "a batch has one dialect");
    const bool is_answered = request.dialect == Dialect::article || !request.id.empty();
    check(request.is_notification() != is_answered, "a notification is told");
    const std::string reply = answer(parser, request);
    if (!is_answered) { continue; }
    replies.append(reply).append(",");
    ++expected;
  }
  if (replies.empty()) { return; }
  replies.pop_back();
  const json array = value_of("[" + replies + "]");
  check(array.size() == expected, "each request that waits for a reply gets one");
  for (const json& reply : array) {
    check(reply.contains("result") || reply.contains("error"), "a reply has an outcome");
  }
}

void run(std::string_view input) {
  RequestParser parser;
  Document document = read(input);
  PlacedBody body(input);
  for (const Dialect usual : {Dialect::json_rpc, Dialect::article}) {
    const ParsedBody parsed = parser.parse(body.text(), usual);
    check_body(parsed, body.text(), judge(document, usual));
    check_replies(parsed);
  }
}

}  // namespace
}  // namespace handoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  handoff::fuzz::run(handoff::fuzz::text_of(data, size));
  return 0;
}

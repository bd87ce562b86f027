// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <handoff/wire/dialect.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/json_text.hpp>
#include <handoff/wire/limits.hpp>
#include <handoff/wire/request.hpp>

#include "fuzz/judge.hpp"
#include "fuzz/support.hpp"
#include "wire/message_writer.hpp"
#include "wire/reply.hpp"

/// Bodies are judged as another parser judges them, whatever stands behind them, and what was
/// read is written again as it was.
namespace handoff::fuzz {
namespace {

/// What could stand behind a body and seem to go on with it.
constexpr std::string_view kBehind = " 0\"}";

void check_request_again(const Request& request) {
  std::string out;
  append_request(out, request.dialect, request.method, request.params, request.id);
  PlacedBody again(out);
  RequestParser parser;
  for (const Dialect usual : {Dialect::article, Dialect::json_rpc}) {
    const ParsedBody parsed = parser.parse(again.text(), usual);
    check(parsed.requests.size() == 1 && !parsed.is_batch, "a request is one when written again");
    const auto* read = std::get_if<Request>(&parsed.requests.front());
    check(read != nullptr, "a request is valid when written again");
    check(read->dialect == request.dialect, "its dialect is the same");
    check(read->method == request.method, "its method is the same");
    check(read->params == request.params, "its params are the same");
    check(read->id == request.id, "its id is the same");
  }
}

void check_requests(RequestParser& parser, Document& document, std::string_view input) {
  for (const Dialect usual : {Dialect::article, Dialect::json_rpc}) {
    const Verdicts expected = judge(document, usual);
    for (const char behind : kBehind) {
      PlacedBody body(input, behind);
      check_body(parser.parse(body.text(), usual), body.text(), expected);
    }
    PlacedBody body(input);
    const ParsedBody parsed = parser.parse(body.text(), usual);
    const auto* request = std::get_if<Request>(&parsed.requests.front());
    if (request != nullptr) { check_request_again(*request); }
  }
}

/// Whether `document` is a reply by its fields' number and, where it matters, their type.
bool is_reply(Document& document) {
  if (!document.is_json || !document.value.is_object()) { return false; }
  Counts& counts = document.objects.front();
  if (counts["jsonrpc"] > 0) {
    return counts["result"] + counts["error"] == 1 && counts["jsonrpc"] == 1 && counts["id"] <= 1;
  }
  return counts["out"] == 1 && document.value["out"].is_string() && counts["result"] == 1 &&
         counts["id"] <= 1;
}

void check_fields(const Reply& reply, std::string_view body, const json& object) {
  check_readable(reply.out);
  check_view(reply.result, body, "");
  check_view(reply.id, body, "");
  check(reply.body.data() == body.data() && reply.body.size() == body.size(),
        "a reply has all of its body");
  const bool is_json_rpc = object.contains("jsonrpc");
  const bool is_error = is_json_rpc ? object.contains("error") : object["out"] == "error";
  check(reply.is_error() == is_error, "an error is told");
  if (!is_json_rpc) { check(reply.out == object["out"], "the name is the body's"); }
  const std::string result = is_json_rpc && is_error ? "error" : "result";
  check(value_of(reply.result) == object[result], "the result is the body's");
  check(reply.id.empty() != object.contains("id"), "an id is there when the body has one");
  if (!reply.id.empty()) { check(value_of(reply.id) == object["id"], "the id is the body's"); }
  const ErrorResult error = parse_error_result(reply.result);
  check(error.data.empty() || json::accept(error.data), "an error's data is JSON");
  const std::optional<std::string> text = json_string(reply.result);
  check(text.has_value() == object[result].is_string(), "a string is told");
  if (text) { check(*text == object[result], "the text of a string is told"); }
}

void check_reply(ReplyParser& parser, Document& document, std::string_view input) {
  for (const char behind : kBehind) {
    PlacedBody body(input, behind);
    try {
      const Reply reply = parser.parse(body.text());
      check(is_reply(document), "what is no reply is refused");
      check_fields(reply, body.text(), document.value);
    } catch (const ProtocolError& error) {
      check(!is_reply(document), "a reply is accepted");
      check(std::string_view(error.what()).starts_with("the reply is invalid JSON") ==
                !document.is_json,
            "what is no JSON is told");
    }
  }
}

/// A value that shall stand in a message may nest one level less than a message.
void check_text(const Document& document, std::string_view input) {
  const bool is_good = document.is_json && document.depth < limits::kMaxDepth;
  check(!json_problem(input) == is_good, "a text is judged as another judges it");
  if (!is_good) { return; }
  const std::string line = minify_json(input);
  check(line.find_first_of("\r\n\t") == std::string::npos, "minified JSON is a line");
  check(value_of(line) == document.value, "minified JSON is the same value");
}

void run(std::string_view input) {
  Document document = read(input);
  RequestParser request_parser;
  ReplyParser reply_parser;
  check_requests(request_parser, document, input);
  check_reply(reply_parser, document, input);
  check_text(document, input);
  const std::string quoted = quote_json(input);
  check(json_problem(quoted) == std::nullopt, "any bytes can be quoted");
}

}  // namespace
}  // namespace handoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  handoff::fuzz::run(handoff::fuzz::text_of(data, size));
  return 0;
}

// SPDX-License-Identifier: MIT
#include "wire/reply.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string>

#include <handoff/wire/errors.hpp>

#include "wire/envelope.hpp"
#include "wire/json_position.hpp"
#include "wire/json_reader.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {

struct ReplyParser::Parser {
  JsonReader reader;
  Envelope envelope;
  std::string name;  ///< the name of the last reply, if it had escapes
};

ReplyParser::ReplyParser() : parser_(std::make_unique<Parser>()) {}
ReplyParser::~ReplyParser() = default;

Reply ReplyParser::parse(std::string_view body) {
  JsonReader& reader = parser_->reader;
  Envelope& envelope = parser_->envelope;
  JsonProblem problem = JsonProblem::none;
  if (!read_plain_envelope(body, envelope)) {
    problem = reader.open(body);
    if (problem == JsonProblem::none) { problem = read_envelope(reader, 0, envelope); }
    if (problem == JsonProblem::none) { problem = reader.read_end(); }
  }
  if (problem != JsonProblem::none) {
    throw ProtocolError(fmt::format("the reply is invalid JSON: {}", explain(reader, problem)));
  }
  using enum Envelope::Field;
  if (envelope.has(json_rpc)) {
    if (envelope.has(result) == envelope.has(error) ||
        envelope.repeats(result, error, json_rpc, id)) {
      throw ProtocolError("the reply does not have one of 'result' and 'error'");
    }
    if (envelope.has(error)) { return {"error", envelope[error], envelope[id], body}; }
    return {"", envelope[result], envelope[id], body};
  }
  if (!envelope.has(out) || !envelope.has(result) || envelope.repeats(out, result, id) ||
      !envelope[out].starts_with('"')) {
    throw ProtocolError("the reply is not an object with one 'out' and one 'result'");
  }
  return {reader.unescape(envelope[out], parser_->name), envelope[result], envelope[id], body,
          envelope[last] == "true"};
}

ErrorResult parse_error_result(std::string_view result) {
  thread_local JsonReader reader;
  const std::string copy = padded(result);
  std::string_view code;
  std::string_view message;
  std::string_view data;
  std::string_view ignored;
  ErrorResult error;
  if (reader.open(std::string_view(copy).substr(0, result.size())) != JsonProblem::none) {
    return error;
  }
  std::string unescaped;
  const auto field_of = [&](std::string_view quoted) -> std::string_view& {
    const std::string_view name = reader.unescape(quoted, unescaped);
    return name == "code" ? code : name == "message" ? message : name == "data" ? data : ignored;
  };
  if (reader.read_object(1, field_of) != JsonProblem::none) { return error; }
  std::from_chars(code.data(), code.data() + code.size(), error.code);
  if (message.starts_with('"')) { error.message = reader.unescape(message, unescaped); }
  error.data = data;
  return error;
}

}  // namespace handoff

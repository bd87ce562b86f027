// SPDX-License-Identifier: MIT
#include "wire/reply.hpp"

#include <charconv>
#include <string>

#include "wire/json_reader.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

/// With the readable bytes behind it that the reader wants.
std::string padded(std::string_view text) {
  std::string copy;
  copy.reserve(text.size() + ReceiveBuffer::kPadding);
  copy.append(text).append(ReceiveBuffer::kPadding, ' ');
  return copy;
}

}  // namespace

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
  if (reader.read_object(1, field_of) != JsonProblem::none) return error;
  std::from_chars(code.data(), code.data() + code.size(), error.code);
  if (message.starts_with('"')) error.message = reader.unescape(message, unescaped);
  error.data = data;
  return error;
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "wire/json_text.hpp"

#include <nlohmann/json.hpp>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "wire/json_position.hpp"
#include "wire/json_reader.hpp"
#include "wire/plain_json.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

/// Does what json_problem() does for a text that the padding follows.
std::optional<std::string> problem_of_padded(std::string_view text) {
  thread_local JsonReader reader;
  const JsonProblem problem = reader.read_whole(text, 1);
  if (problem == JsonProblem::none) { return std::nullopt; }
  return explain(reader, problem);
}

}  // namespace

/// A short text, as most are, is copied to the stack.
std::optional<std::string> json_problem(std::string_view text) {
  if (text.size() <= PlainJson::kMostBytes) {
    std::array<char, PlainJson::kMostBytes + ReceiveBuffer::kPadding> copy{};
    std::copy(text.begin(), text.end(), copy.begin());
    return problem_of_padded({copy.data(), text.size()});
  }
  const std::string copy = padded(text);
  return problem_of_padded(std::string_view(copy).substr(0, text.size()));
}

bool is_plain_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char byte) {
    return byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
  });
}

std::string quote_json(std::string_view text) {
  if (!is_plain_text(text)) {
    using nlohmann::json;
    return json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace);
  }
  std::string quoted(text.size() + 2, '"');
  std::copy(text.begin(), text.end(), quoted.begin() + 1);
  return quoted;
}

std::string minify_json(std::string_view json) {
  std::string line(json.size(), '\0');
  std::size_t size = 0;
  if (simdjson::minify(json.data(), json.size(), line.data(), size) != simdjson::SUCCESS) {
    return std::string(json);
  }
  line.resize(size);
  return line;
}

std::optional<std::string> json_string(std::string_view json) {
  if (!json.starts_with('"')) { return std::nullopt; }
  return nlohmann::json::parse(json).get<std::string>();
}

}  // namespace handoff

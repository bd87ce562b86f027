// SPDX-License-Identifier: MIT
#include "cli/params.hpp"

#include <fmt/format.h>

#include "os/error.hpp"
#include "wire/message.hpp"

namespace handoff {
namespace {

/// `"key":value`.
std::string member_from_word(const std::string& word) {
  const auto equals = word.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw InvalidArgument(fmt::format(
        R"(params, on {}: neither JSON nor KEY=TEXT nor KEY:=JSON (a string is written '"text"'))",
        word));
  }
  const std::string value = word.substr(equals + 1);
  if (word[equals - 1] != ':') {
    return fmt::format("{}:{}", quote_json(word.substr(0, equals)), quote_json(value));
  }
  if (const auto problem = json_problem(value)) {
    throw InvalidArgument(fmt::format("params, on {}: not JSON behind := ({})", word, *problem));
  }
  return fmt::format("{}:{}", quote_json(word.substr(0, equals - 1)), value);
}

}  // namespace

std::string params_from_words(std::span<const std::string> words) {
  if (words.empty()) return "null";
  if (words.size() == 1 && !json_problem(words.front())) return words.front();
  // Something that begins like JSON was meant as JSON: say what is wrong with it.
  if (words.size() == 1 && !words.front().empty() &&
      std::string_view("{[\"").find(words.front().front()) != std::string_view::npos) {
    throw InvalidArgument(fmt::format("params, on {}: not valid JSON: {}", words.front(),
                                      *json_problem(words.front())));
  }
  std::string object = "{";
  for (const std::string& word : words) {
    if (object.size() > 1) object += ',';
    object += member_from_word(word);
  }
  return object + "}";
}

}  // namespace handoff

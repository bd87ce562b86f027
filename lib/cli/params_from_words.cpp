// SPDX-License-Identifier: MIT
#include "cli/params_from_words.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <set>
#include <utility>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>
#include <handoff/wire/json_text.hpp>
#include <handoff/wire/limits.hpp>

#include "os/utf8.hpp"

namespace handoff {
namespace {

constexpr const char* kMixed =
    "write only one JSON value, only KEY=TEXT and KEY:=JSON words, or only -";

/// Returns the key and the value, as JSON, of a word KEY=TEXT or KEY:=JSON.
std::pair<std::string, std::string> member_from_word(const std::string& word) {
  if (!is_utf8(word)) {
    throw InvalidArgument(
        fmt::format("params {}: write it in UTF-8, for JSON has nothing else", word));
  }
  const auto equals = word.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw InvalidArgument(fmt::format(
        R"(params {}: neither JSON nor KEY=TEXT nor KEY:=JSON (a string is written '"text"'))",
        word));
  }
  const std::string value = word.substr(equals + 1);
  if (word[equals - 1] != ':') { return {word.substr(0, equals), quote_json(value)}; }
  if (const auto problem = json_problem(value)) {
    throw InvalidArgument(fmt::format("params {}: not JSON after := ({})", word, *problem));
  }
  return {word.substr(0, equals - 1), value};
}

/// Returns the JSON in the file that the word "@FILE" names.
std::string params_from_file(const std::string& word) {
  const std::string path = word.substr(1);
  const bool is_stdin = path == "-";
  const char* name = is_stdin ? "stdin" : path.c_str();
  Fd file(is_stdin ? -1 : open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!is_stdin && !file.valid()) { throw SystemError(errno, "open", name); }
  std::string text;
  std::array<char, 64 * 1024> buffer;
  for (;;) {
    const ssize_t size = retry(
        [&] { return read(is_stdin ? STDIN_FILENO : file.get(), buffer.data(), buffer.size()); });
    if (size < 0) { throw SystemError(errno, "read", name); }
    if (size == 0) { break; }
    text.append(buffer.data(), static_cast<std::size_t>(size));
    if (text.size() > limits::kHighestMaxFrame) {
      throw InvalidArgument(fmt::format("params {}: more than 128 MiB", word));
    }
  }
  if (const auto problem = json_problem(text)) {
    throw InvalidArgument(fmt::format("params {}: not valid JSON: {}", word, *problem));
  }
  return text;
}

}  // namespace

std::string params_from_words(std::span<const std::string> words) {
  if (words.empty()) { return "null"; }
  if (words.size() == 1 && words.front().starts_with('@')) { return params_from_file(words[0]); }
  if (words.size() == 1 && !json_problem(words.front())) { return words.front(); }
  // A word that begins like JSON was meant as JSON, so the error says what is wrong with it.
  if (words.size() == 1 && !words.front().empty() &&
      std::string_view("{[\"").find(words.front().front()) != std::string_view::npos) {
    throw InvalidArgument(
        fmt::format("params {}: not valid JSON: {}", words.front(), *json_problem(words.front())));
  }
  std::string object = "{";
  std::set<std::string> keys;
  for (const std::string& word : words) {
    if (words.size() > 1 && (word == "-" || !json_problem(word))) {
      throw InvalidArgument(fmt::format("params {}: {}", word, kMixed));
    }
    const auto [key, value] = member_from_word(word);
    if (!keys.insert(key).second) {
      throw InvalidArgument(fmt::format("params {}: the key is given twice", key));
    }
    if (object.size() > 1) { object += ','; }
    object += fmt::format("{}:{}", quote_json(key), value);
  }
  return object + "}";
}

}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "wire/json_reader.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <string_view>

#include <handoff/wire/limits.hpp>

#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

/// A text with other bytes behind it, as in a buffer that holds more.
class Text {
 public:
  explicit Text(std::string_view text, std::string_view behind = "]}\"1,")
      : bytes_(text), size_(text.size()) {
    bytes_.append(behind);
    bytes_.append(ReceiveBuffer::kPadding, '1');
  }
  std::string_view view() const { return std::string_view(bytes_).substr(0, size_); }

 private:
  std::string bytes_;
  std::size_t size_;
};

JsonProblem problem_of(JsonReader& reader, std::string_view json, int depth = 0) {
  const Text text(json);
  std::string_view value;
  if (const auto problem = reader.open(text.view()); problem != JsonProblem::none) {
    return problem;
  }
  const auto problem = reader.read_value(depth, value);
  return problem != JsonProblem::none ? problem : reader.read_end();
}

std::map<std::string, std::string> fields_of(JsonReader& reader, std::string_view json) {
  const Text text(json);
  std::map<std::string, std::string_view> fields;
  std::string copy;
  REQUIRE(reader.open(text.view()) == JsonProblem::none);
  REQUIRE(reader.read_object(0, [&](std::string_view name) -> std::string_view& {
    return fields[std::string(reader.unescape(name, copy))];
  }) == JsonProblem::none);
  REQUIRE(reader.read_end() == JsonProblem::none);
  return {fields.begin(), fields.end()};
}

TEST_CASE("a reader says what is wrong, and can be used again") {
  JsonReader reader;
  const std::map<std::string_view, JsonProblem> problems = {
      {"", JsonProblem::empty},
      {" \n", JsonProblem::empty},
      {"\"\xFF\"", JsonProblem::utf8},
      {"\"\x01\"", JsonProblem::control_character},
      {"\"a", JsonProblem::unclosed_string},
      {R"("\x")", JsonProblem::escape},
      {R"(["\ud800"])", JsonProblem::escape},
      {"[01]", JsonProblem::number},
      {"1e999", JsonProblem::number},
      {"[nul]", JsonProblem::word},
      {"{\"a\":truefalse}", JsonProblem::word},
      {"[1", JsonProblem::punctuation},
      {"{\"a\":1,}", JsonProblem::punctuation},
      {"\"a\"\v", JsonProblem::trailing},
      {"1 2", JsonProblem::trailing},
      {"{} {}", JsonProblem::trailing},
  };
  for (const auto& problem : problems) {
    CAPTURE(problem.first);
    CHECK(problem_of(reader, problem.first) == problem.second);
    CHECK(problem_of(reader, R"({"a":[1,"b\n",null]})") == JsonProblem::none);
  }
}

TEST_CASE("what stands behind a text is not read as part of it") {
  JsonReader reader;
  CHECK(problem_of(reader, "[1") == JsonProblem::punctuation);
  CHECK(problem_of(reader, "{\"a\":") == JsonProblem::punctuation);
  CHECK(problem_of(reader, "\"a") == JsonProblem::unclosed_string);
  const Text number("12", "34");
  std::string_view value;
  REQUIRE(reader.open(number.view()) == JsonProblem::none);
  REQUIRE(reader.read_value(0, value) == JsonProblem::none);
  CHECK(value == "12");
}

TEST_CASE("the text of each value is given, without the space around it") {
  JsonReader reader;
  CHECK(fields_of(reader, "{}").empty());
  CHECK(fields_of(reader, " { \"a\" : [ 1 , {} ] ,\n\"b\"\t:\r-1.5e3 , \"c\" : \"x y\" } ") ==
        std::map<std::string, std::string>{{"a", "[ 1 , {} ]"}, {"b", "-1.5e3"}, {"c", "\"x y\""}});
}

TEST_CASE("names and strings are unescaped, and values stay as they came") {
  JsonReader reader;
  CHECK(fields_of(reader, R"({"\u0069n":"\ud83d\ude00\"", "plain":"p"})") ==
        std::map<std::string, std::string>{{"in", R"("\ud83d\ude00\"")"}, {"plain", "\"p\""}});
  const Text text(R"("\u00e9\\\/\n")");
  std::string_view value;
  std::string copy;
  REQUIRE(reader.open(text.view()) == JsonProblem::none);
  REQUIRE(reader.read_value(0, value) == JsonProblem::none);
  CHECK(reader.unescape(value, copy) == "\xC3\xA9\\/\n");
}

TEST_CASE("a text without escapes is known, and its strings lose just their quotes") {
  JsonReader reader;
  const Text plain(R"(["a b"])");
  const Text escaped(R"(["a\u0062"])");
  REQUIRE(reader.open(escaped.view()) == JsonProblem::none);
  CHECK(reader.has_escapes());
  REQUIRE(reader.open(plain.view()) == JsonProblem::none);
  CHECK(!reader.has_escapes());
  CHECK(JsonReader::unquote(plain.view().substr(1, 5)) == "a b");
  CHECK(JsonReader::unquote("\"\"").empty());
}

TEST_CASE("nesting is bounded, what stands around a value included") {
  JsonReader reader;
  const auto nested = [](int depth) {
    const auto size = static_cast<std::size_t>(depth);
    return std::string(size, '[').append(size, ']');
  };
  CHECK(problem_of(reader, nested(limits::kMaxDepth)) == JsonProblem::none);
  CHECK(problem_of(reader, nested(limits::kMaxDepth + 1)) == JsonProblem::depth);
  CHECK(problem_of(reader, nested(limits::kMaxDepth - 1), 1) == JsonProblem::none);
  CHECK(problem_of(reader, nested(limits::kMaxDepth), 1) == JsonProblem::depth);
}

TEST_CASE("texts that are longer than any before are read") {
  JsonReader reader;
  for (const std::size_t size : {1'000U, 64U * 1024U, 200'000U, 10U}) {
    CHECK(problem_of(reader, "\"" + std::string(size, 'x') + "\"") == JsonProblem::none);
    CHECK(problem_of(reader, "[" + std::string(size, '1') + "x]") == JsonProblem::number);
  }
}

}  // namespace
}  // namespace handoff

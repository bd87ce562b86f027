// SPDX-License-Identifier: MIT
#include "wire/json_position.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include <handoff/wire/json_text.hpp>

#include "unit/wire/body.hpp"

namespace handoff {
namespace {

TEST_CASE("what is wrong with a JSON text is said with the place where it is") {
  const std::map<std::string_view, std::string_view> problems = {
      {"hello", "unknown word at column 1"},
      {"hello world", "unknown word at column 1"},
      {"[1, nul]", "unknown word at column 5"},
      {"[1, 02]", "invalid number at column 5"},
      {R"({"a":1,})", "misplaced or missing punctuation at column 8"},
      {R"({"a" 1})", "misplaced or missing punctuation at column 6"},
      {"{'a':1}", "misplaced or missing punctuation at column 2"},
      {R"({"a":)", "misplaced or missing punctuation at column 6, the end"},
      {"[1", "misplaced or missing punctuation at column 3, the end"},
      {"1 2", "something follows the value at column 3"},
      {R"(["a", "\x"])", "invalid escape in a string at column 7"},
      {R"({"a":"b)", "a string is not closed at column 6"},
      {R"(["\"", "b)", "a string is not closed at column 8"},
      {"[\"a\", \"\x01\"]", "a control character in a string at column 8"},
      {"[\"a\xFF\"]", "invalid UTF-8 at column 4"},
      {"[\"caf\xC3\"]", "invalid UTF-8 at column 6"},
  };
  for (const auto& [bad, problem] : problems) {
    const std::string_view text = bad;  // clang 14 captures no structured binding
    CAPTURE(text);
    CHECK(json_problem(text) == std::string(problem));
  }
}

TEST_CASE("a text of several lines is counted in lines, and each in characters") {
  CHECK(json_problem("{\n  \"a\": 1,\n  \"b\": x\n}") == "unknown word at line 3, column 8");
  CHECK(json_problem("[\"\xC3\xA9\xC3\xA9\", x]") == "unknown word at column 8");
  CHECK(json_problem("[\n") == "misplaced or missing punctuation at line 2, column 1, the end");
}

TEST_CASE("invalid UTF-8 is found wherever it stands, among characters of any length") {
  const std::map<std::string_view, std::size_t> invalid = {
      {"\xFF", 0},
      {"\x80", 0},
      {"\xC3", 0},
      {"\xC3"
       "A",
       0},
      {"\xC0\x80", 0},
      {"\xE2\x82", 0},
      {"\xED\xA0\x80", 0},
      {"\xF4\x90\x80\x80", 0},
      {"\xC3\xA9\x80", 1},
      {"\xC3\xA9\x80\x80\x80\x80\x80\x80", 1},
  };
  const std::string_view characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
  for (const auto& [bad, good_before] : invalid) {
    for (std::size_t before = 0; before < 70; ++before) {
      std::string text = "\"";
      for (std::size_t i = 0; i < before; ++i) { text += characters[(i * i + before) % 4]; }
      text.append(bad).append("\xC3\xA9tail, and more of it\"");
      const std::string expected =
          "invalid UTF-8 at column " + std::to_string(2 + before + good_before);
      CAPTURE(text);
      REQUIRE(json_problem(text) == expected);
    }
  }
}

TEST_CASE("invalid UTF-8 is found in a long text, and where no byte begins a character") {
  std::string text = "\"" + std::string(std::size_t{1} << 20, '\x80') + "\"";
  CHECK(json_problem(text) == "invalid UTF-8 at column 2");
  text = "\"" + std::string(std::size_t{1} << 20, 'x') + "\xFF\"";
  CHECK(json_problem(text) == "invalid UTF-8 at column 1048578");
}

TEST_CASE("of an empty text there is no place to say") {
  CHECK(json_problem("") == "empty");
  CHECK(json_problem(" \n ") == "empty");
}

TEST_CASE("a nesting that is too deep is said with the bracket that was too much") {
  CHECK(json_problem(std::string(100, '[')) == "nested too deeply at column 64");
}

TEST_CASE("the refusal of a body says where it is no JSON") {
  test::Bodies bodies;
  CHECK(bodies.refuse(R"({"in":"echo","params":tru})").message == "unknown word at column 23");
  CHECK(bodies.refuse("[{\"in\":\"echo\"},\n{]").message ==
        "misplaced or missing punctuation at line 2, column 2");
}

}  // namespace
}  // namespace handoff

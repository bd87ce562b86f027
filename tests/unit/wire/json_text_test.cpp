// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/wire/json_text.hpp>

namespace handoff {
namespace {

TEST_CASE("any bytes can be quoted as a JSON string") {
  CHECK(quote_json("") == R"("")");
  CHECK(quote_json("a\"b\\c\n\x01") == R"("a\"b\\c\n\u0001")");
  CHECK(quote_json(std::string_view("a\0b", 3)) == R"("a\u0000b")");
  CHECK(quote_json("gr\xC3\xBCn") == "\"gr\xC3\xBCn\"");
  const std::string replacement = "\xEF\xBF\xBD";
  CHECK(quote_json("a\xFFz") == "\"a" + replacement + "z\"");
  for (const std::string_view bytes : {"\xC3", "\xED\xA0\x80", "\xC0\x80", "\xF5\x80\x80\x80"}) {
    CHECK(json_problem(quote_json(bytes)) == std::nullopt);
    CHECK(quote_json(bytes).find(replacement) != std::string::npos);
  }
}

TEST_CASE("a text that needs no escapes is plain") {
  for (const std::string_view text : {"", "echo", "a b.c~!"}) {
    CHECK(is_plain_text(text));
    CHECK(quote_json(text) == "\"" + std::string(text) + "\"");
  }
  for (const std::string_view text : {"a\"", "\\", "\n", "\x7F", "gr\xC3\xBCn", "\xFF"}) {
    CHECK(!is_plain_text(text));
  }
}

TEST_CASE("JSON becomes one line, its tokens untouched") {
  CHECK(minify_json(" { \"a b\" :\n[ 1.50 ,\t\" \\n\" ] }\r\n") == R"({"a b":[1.50," \n"]})");
  CHECK(minify_json("1E+2") == "1E+2");
  CHECK(minify_json("") == "");
  // Each length, for the work is done in blocks.
  for (std::size_t size = 0; size < 200; ++size) {
    const std::string text = "\"" + std::string(size, ' ') + "\"";
    CHECK(minify_json(text) == text);
    CHECK(minify_json("[" + std::string(size, ' ') + "]") == "[]");
  }
}

TEST_CASE("the text of a JSON string is told, that of another value not") {
  CHECK(json_string(R"("a\u0041\n")") == "aA\n");
  CHECK(json_string(R"("")") == "");
  for (const std::string_view text : {"1", "null", "[\"a\"]", "{}", ""}) {
    CHECK(json_string(text) == std::nullopt);
  }
}

TEST_CASE("objects and arrays can be params of JSON-RPC, scalars can't") {
  CHECK(is_structured("{}"));
  CHECK(is_structured("[1]"));
  for (const std::string_view json : {"", "1", "-1", "null", "true", R"("[]")", R"("{")"}) {
    CHECK(!is_structured(json));
  }
}

TEST_CASE("a word is a word to its end, whatever stands around it") {
  for (const std::string word : {"true", "false", "null"}) {
    for (const std::string_view space : {"", " ", "  ", "\n\n\n"}) {
      CAPTURE(word);
      CAPTURE(space.size());
      const std::string around(space);
      CHECK(json_problem(around + word + around) == std::nullopt);
      for (const std::string_view more : {"x", "xx", "1", "\"", "_e"}) {
        CHECK(json_problem(around + word + std::string(more) + around).has_value());
      }
      CHECK(json_problem(around + word.substr(0, word.size() - 1) + around).has_value());
    }
  }
}

TEST_CASE("a number is a number to its end, whatever stands around it") {
  for (const std::string number : {"0", "-1.5e3", "123456789012345678901234567890"}) {
    for (const std::size_t spaces : {0U, 1U, 3U, 20U, 3000U}) {
      CAPTURE(number);
      CAPTURE(spaces);
      const std::string around(spaces, ' ');
      CHECK(json_problem(around + number + around) == std::nullopt);
      for (const std::string_view more : {"x", ".", "e", "-", "_1"}) {
        CHECK(json_problem(around + number + std::string(more) + around).has_value());
      }
    }
  }
  CHECK(json_problem(std::string(3000, '1') + ".5e-2999") == std::nullopt);
}

TEST_CASE("valid text has no problem") {
  for (const std::string_view text : {"0", " 1 ", "\"a\"", "null", "true", "false", "[]", "{}",
                                      "[[],{}]", "-1.5E-3", R"({"a":{"a":1},"a":2})"}) {
    CAPTURE(text);
    CHECK(json_problem(text) == std::nullopt);
  }
}

TEST_CASE("texts are judged as another parser judges them") {
  const std::vector<std::string> seeds = {
      R"({"in":"m\u0041","params":[1,-2.5e3,true,null,{"a":{}}],"id":"x"})",
      R"([{"a":"\ud83d\ude00"},[[]],"\\\"",0,false , 1E-7])",
      "\"gr\xC3\xBC\xE2\x82\xAC\xF0\x9F\x98\x80\\n\"",
      "-12.5e+3",
      "null",
  };
  const std::string_view alphabet = "{}[]:,\"\\ \n0123e+-.tfnuldDc89aA\x80\xC3\xED\xA0\x01";
  std::mt19937 random(2024);  // NOLINT(cert-msc51-cpp): the same texts each time
  const auto below = [&](std::size_t limit) { return random() % limit; };
  for (int round = 0; round < 30'000; ++round) {
    std::string text = seeds[below(seeds.size())];
    for (auto changes = below(3) + 1; changes > 0 && !text.empty(); --changes) {
      const auto place = below(text.size());
      const char byte = alphabet[below(alphabet.size())];
      switch (below(4)) {
        case 0: text[place] = byte; break;
        case 1: text.insert(place, 1, byte); break;
        case 2: text.erase(place, 1); break;
        default: std::swap(text[place], text[below(text.size())]);
      }
    }
    const bool accepted = !json_problem(text);
    if (accepted != nlohmann::json::accept(text)) { FAIL_CHECK(accepted << ": " << text); }
  }
}

}  // namespace
}  // namespace handoff

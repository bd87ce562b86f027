// SPDX-License-Identifier: MIT
#include "os/utf8.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string_view>

using handoff::first_utf8_character;
using handoff::is_utf8;

TEST_CASE("the first and the last character of each length in UTF-8 are decoded") {
  const struct {
    std::string_view bytes;
    char32_t code_point;
  } characters[] = {
      {"\x01", 0x1},
      {"\x7F", 0x7F},
      {"\xC2\x80", 0x80},
      {"\xDF\xBF", 0x7FF},
      {"\xE0\xA0\x80", 0x800},
      {"\xED\x9F\xBF", 0xD7FF},
      {"\xEE\x80\x80", 0xE000},
      {"\xEF\xBF\xBF", 0xFFFF},
      {"\xF0\x90\x80\x80", 0x10000},
      {"\xF4\x8F\xBF\xBF", 0x10FFFF},
  };
  for (const auto& [bytes, expected] : characters) {
    const auto code_point = expected;  // clang 14 captures no structured binding
    CAPTURE(code_point);
    CHECK(first_utf8_character(bytes).code_point == code_point);
    CHECK(first_utf8_character(bytes).size == bytes.size());
  }
}

TEST_CASE("overlong forms, surrogates, stray bytes and halves of characters are no UTF-8") {
  for (const std::string_view bytes :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xC3(",
        "\xE2(\x82"}) {
    CAPTURE(bytes.size());
    CHECK(first_utf8_character(bytes).size == 0);
    CHECK(!is_utf8(bytes));
  }
}

TEST_CASE("a text is UTF-8 when all of it is") {
  CHECK(is_utf8(""));
  CHECK(is_utf8(std::string_view("a\0b", 3)));
  CHECK(is_utf8("caf\xC3\xA9 \xE2\x82\xAC"));
  CHECK(!is_utf8("caf\xE9"));
  CHECK(!is_utf8("caf\xC3\xA9\xE9 and more"));
}

TEST_CASE("the start of a text does not end in the middle of a character") {
  using handoff::utf8_start;
  CHECK(utf8_start("abc", 3) == "abc");
  CHECK(utf8_start("abc", 2) == "ab");
  CHECK(utf8_start("abc", 0).empty());
  CHECK(utf8_start("a\xE2\x82\xAC", 4) == "a\xE2\x82\xAC");
  for (const std::size_t most : {1U, 2U, 3U}) { CHECK(utf8_start("a\xE2\x82\xAC", most) == "a"); }
  CHECK(utf8_start("\xF0\x9F\x98\x80", 3).empty());
  // What is no UTF-8 has no characters.
  CHECK(utf8_start("\x80\x80\x80\x80\x80\x80", 5) == "\x80\x80\x80\x80\x80");
}

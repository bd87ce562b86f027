// SPDX-License-Identifier: MIT
#include "os/printable.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using handoff::printable;
using handoff::printable_json;

TEST_CASE("ordinary text stays as it is when it is made printable") {
  for (const std::string_view text : {"", "a \"word\" \\d+ ~", "caf\xC3\xA9",
                                      "\xE2\x82\xAC\xF0\x9F\x98\x80", "\xD7\xA9\xD7\x9C"}) {
    CHECK(printable(text) == text);
    CHECK(printable_json(text) == text);
  }
}

TEST_CASE("a control character is shown as an escape sequence") {
  CHECK(printable("one\ntwo\r\n\tthree") == R"(one\ntwo\r\n\tthree)");
  CHECK(printable("\x1B[2J\x07\x7F") == R"(\x1b[2J\x07\x7f)");
  CHECK(printable(std::string_view("a\0b", 3)) == R"(a\x00b)");
}

TEST_CASE("a control character of the upper half and one that turns the text are shown, too") {
  CHECK(printable("\xC2\x9B"
                  "31m \xC2\x85") == R"(\u009b31m \u0085)");
  CHECK(printable("\xE2\x80\xAE \xE2\x81\xA6 \xD8\x9C \xE2\x80\x8F") ==
        R"(\u202e \u2066 \u061c \u200f)");
  CHECK(printable("\xE2\x80\xA8\xE2\x80\xA9") == R"(\u2028\u2029)");
}

TEST_CASE("a byte that is no UTF-8 is shown as a number") {
  CHECK(printable("caf\xE9!") == R"(caf\xe9!)");
  CHECK(printable("\x9B"
                  "31m \xE2\x82") == R"(\x9b31m \xe2\x82)");
}

TEST_CASE("in JSON a control character gets JSON's own escape, and line breaks stay") {
  CHECK(printable_json("[\n  \"\x7F\xC2\x9B\xE2\x80\xAE\"\n]") ==
        "[\n  \"\\u007f\\u009b\\u202e\"\n]");
}

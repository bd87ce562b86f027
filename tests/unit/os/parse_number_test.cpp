// SPDX-License-Identifier: MIT
#include "os/parse_number.hpp"

#include <doctest/doctest.h>

#include <cstdint>

namespace handoff {
namespace {

TEST_CASE("a number is the whole text") {
  CHECK(parse_number<int>("0") == 0);
  CHECK(parse_number<int>("-17") == -17);
  CHECK(parse_number<double>("1.5e-3") == 0.0015);
  for (const char* text : {"", " 1", "1 ", "+1", "1x", "0x10", "1.5", "--1", "-"}) {
    CAPTURE(text);
    CHECK(!parse_number<int>(text));
  }
}

TEST_CASE("a number that its type can't hold is none") {
  CHECK(parse_number<std::uint8_t>("255") == 255);
  CHECK(!parse_number<std::uint8_t>("256"));
  CHECK(!parse_number<unsigned>("-1"));
  CHECK(!parse_number<double>("1.5e999"));
}

TEST_CASE("a number can have another base, without a prefix") {
  CHECK(parse_number<unsigned>("660", 8) == 0660);
  CHECK(parse_number<unsigned>("0660", 8) == 0660);
  CHECK(parse_number<std::uint8_t>("377", 8) == 255);
  for (const char* text : {"", "8", "68", "0o60", "-1", "400"}) {
    CAPTURE(text);
    CHECK(!parse_number<std::uint8_t>(text, 8));
  }
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "pass/method_name.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

namespace handoff::ledger {
namespace {

using namespace std::string_literals;

TEST_CASE("a method's name in a ledger is UTF-8 of 1 to 63 bytes") {
  CHECK(is_method_name("sum"));
  CHECK(is_method_name("py.*"));
  CHECK(is_method_name("größe"));
  CHECK(is_method_name(std::string(63, 'x')));
  CHECK_FALSE(is_method_name(""));
  CHECK_FALSE(is_method_name(std::string(64, 'x')));
  CHECK_FALSE(is_method_name("\xff"));
  CHECK_FALSE(is_method_name("a\nb"));
  CHECK_FALSE(is_method_name("a\0b"s));
  CHECK_FALSE(is_method_name("\u202e"));
}

TEST_CASE("quotation marks and backslashes in a method's name count twice") {
  CHECK(is_method_name(std::string(31, '"')));
  CHECK(is_method_name(std::string(31, '\\') + "x"));
  CHECK_FALSE(is_method_name(std::string(32, '"')));
  CHECK_FALSE(is_method_name(std::string(62, 'x') + "\\"));
}

TEST_CASE("a name that was stored is loaded, and an unused slot has none") {
  MethodName slot{};
  CHECK(!slot.load());
  slot.store("sum");
  CHECK(slot.load() == "sum");
}

TEST_CASE("a false name counts as that of other methods") {
  MethodName slot{};
  slot.store("a\nb");
  CHECK(slot.load() == kNameOfOthers);
  slot.store("sum");
  for (const unsigned size : {64U, 255U}) {
    slot.size = static_cast<std::uint8_t>(size);
    CHECK(slot.load() == kNameOfOthers);
  }
}

}  // namespace
}  // namespace handoff::ledger

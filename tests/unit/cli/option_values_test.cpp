// SPDX-License-Identifier: MIT
#include "cli/option_values.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

using test::thrown_by;
using namespace std::chrono_literals;

TEST_CASE("a duration has a unit, or is in seconds") {
  CHECK(parse_duration("250us") == 250us);
  CHECK(parse_duration("250ms") == 250ms);
  CHECK(parse_duration("2s") == 2s);
  CHECK(parse_duration("2") == 2s);
  CHECK(parse_duration("0.5") == 500ms);
  CHECK(parse_duration("1m") == 1min);
  CHECK(parse_duration("1.5h") == 90min);
  CHECK(parse_duration("0") == Duration::zero());
  CHECK(parse_duration("1e3ms") == 1s);
}

TEST_CASE("a duration that is none is refused with how it is written") {
  for (const char* text : {"5x", "-1s", "nan", "inf", "s", "ms", "1 s", " 1s", "1s ", "1ss", "+1s",
                           "0x10", "1d", "1e99", "1e999", "1,5s"}) {
    CAPTURE(text);
    CHECK(thrown_by<InvalidArgument>([&] { parse_duration(text); }).what() ==
          std::string(text) + ": write a duration such as 250ms, 2s, 1m or 1h");
  }
  CHECK(thrown_by<InvalidArgument>([&] { parse_duration(""); }).what() ==
        std::string("'': write a duration such as 250ms, 2s, 1m or 1h"));
}

TEST_CASE("a duration of a century fits, and a longer one is refused") {
  CHECK(parse_duration("876000h") == 876000h);
  CHECK_THROWS_AS(parse_duration("876001h"), InvalidArgument);
}

TEST_CASE("a range has two durations in order, which may be the same") {
  CHECK(parse_duration_range("100ms:10s") == std::pair<Duration, Duration>(100ms, 10s));
  CHECK(parse_duration_range("1:1") == std::pair<Duration, Duration>(1s, 1s));
  CHECK(parse_duration_range("0:1m") == std::pair<Duration, Duration>(0s, 1min));
}

TEST_CASE("a range that is none is refused with what is wrong") {
  const auto problem = [](const char* text) {
    return std::string(thrown_by<InvalidArgument>([&] { parse_duration_range(text); }).what());
  };
  CHECK(problem("1s") == "1s: write MIN:MAX, as in 100ms:10s");
  CHECK(problem("").ends_with(": write MIN:MAX, as in 100ms:10s"));
  CHECK(problem("2s:1s") == "2s:1s: the first exceeds the second");
  CHECK(problem("x:1s") == "x: write a duration such as 250ms, 2s, 1m or 1h");
  CHECK(problem("1s:") == "'': write a duration such as 250ms, 2s, 1m or 1h");
  CHECK(problem("1s:2s:3s") == "2s:3s: write a duration such as 250ms, 2s, 1m or 1h");
}

TEST_CASE("NAME=VALUE is split at its first equals sign") {
  using Pair = std::pair<std::string, std::string>;
  CHECK(split_name_value("--method", "a=b", "NAME=CMD") == Pair("a", "b"));
  CHECK(split_name_value("--method", "a=b=c", "NAME=CMD") == Pair("a", "b=c"));
  CHECK(split_name_value("--method", "a=", "NAME=CMD") == Pair("a", ""));
}

TEST_CASE("what is not NAME=VALUE is refused with the form") {
  for (const char* text : {"a", "", "=b"}) {
    CAPTURE(text);
    CHECK(std::string(thrown_by<InvalidArgument>([&] {
                        split_name_value("--method", text, "NAME=CMD");
                      }).what())
              .ends_with(": write NAME=CMD"));
  }
}

TEST_CASE("a size is a number of bytes, with a unit of powers of 1024 or without") {
  CHECK(parse_size("1", 1, 100, "") == 1);
  CHECK(parse_size("64KiB", 1, 1U << 20U, "") == 65536);
  CHECK(parse_size("1MB", 1, 1U << 20U, "") == 1U << 20U);
}

TEST_CASE("a size that is none, or out of its range, is refused with the advice") {
  for (const std::string text : {"0", "101", "-1", "much", "1X", "1.5"}) {
    CAPTURE(text);
    CHECK(thrown_by<InvalidArgument>([&] { (void)parse_size(text, 1, 100, "7 or 9"); }).what() ==
          text + ": write a size such as 7 or 9");
  }
  CHECK(thrown_by<InvalidArgument>([] { (void)parse_size("", 1, 100, "7"); }).what() ==
        std::string("'': write a size such as 7"));
}

TEST_CASE("a limit of requests is a number, and a random one up to the jitter is added") {
  CHECK(parse_max_requests("1") == 1);
  CHECK(parse_max_requests("7,0") == 7);
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t most = parse_max_requests("100,10");
    CHECK(most >= 100);
    CHECK(most <= 110);
  }
  for (const char* text : {"", "x", "1,", ",1", "1,x", "-1", "1 ", "1000000000001"}) {
    CAPTURE(text);
    CHECK(thrown_by<InvalidArgument>([&] { (void)parse_max_requests(text); }).what() ==
          std::string(text) + ": write N or N,JITTER");
  }
  CHECK(thrown_by<InvalidArgument>([] { (void)parse_max_requests("0"); }).what() ==
        std::string("0: write 1 or more"));
}

TEST_CASE("a number outside of its range is refused with the range") {
  int number = 5;
  const auto parse = number_into<int>(number, -1, 9);
  parse("-1");
  CHECK(number == -1);
  parse("9");
  CHECK(number == 9);
  for (const std::string text : {"-2", "10", "x", "1x", " 1", "99999999999999999999"}) {
    CAPTURE(text);
    CHECK(thrown_by<InvalidArgument>([&] { parse(text); }).what() ==
          text + ": write a number from -1 to 9");
  }
  CHECK(number == 9);
}

TEST_CASE("words are listed as in a sentence") {
  CHECK(listed({}) == "");
  CHECK(listed({"a"}) == "a");
  CHECK(listed({"a", "b"}) == "a or b");
  CHECK(listed({"a", "b", "c"}) == "a, b or c");
}

TEST_CASE("a word that is no UTF-8 is refused with what it is") {
  require_utf8("METHOD", "gr\xC3\xBCn");
  CHECK(thrown_by<InvalidArgument>([] { require_utf8("METHOD", "\xFF"); }).what() ==
        std::string("METHOD \xFF: write it in UTF-8, for JSON has nothing else"));
}

}  // namespace
}  // namespace handoff

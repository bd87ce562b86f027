// SPDX-License-Identifier: MIT
#include "wire/json_scalar.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <clocale>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>

#include "unit/support.hpp"

namespace handoff {
namespace {

TEST_CASE("a number of RFC 8259 is one") {
  for (const std::string_view text :
       {"0",          "-0",   "1",     "-1",      "10",       "9007199254740993",
        "0.0",        "-0.0", "0.5",   "1.50",    "10.01",    "123456789012345678901234567890",
        "0e0",        "0E0",  "1e0",   "1E5",     "1e+5",     "1e-5",
        "-1.5E+10",   "1e05", "1e-00", "0.0e+00", "-0.1e-10", "0.1000000000000000055511151231",
        "1234.5678e9"}) {
    CAPTURE(text);
    CHECK(is_json_number(text));
  }
}

TEST_CASE("what is written otherwise is no number") {
  for (const std::string_view text :
       {"",      "-",    "--1",      "+1",           "+",        "00",        "01",    "-01",
        "-00",   "1.",   ".1",       "-.1",          ".",        "1..2",      "1.2.3", "1.e1",
        "1e",    "1e+",  "1e-",      "e1",           "1e1.",     "1e.5",      "1ee1",  "1e++",
        "1e+-1", "0x10", "0b1",      "1_000",        "1,0",      "1a",        "a1",    " 1",
        "1 ",    "1\n",  "- 1",      "1 2",          "Infinity", "-Infinity", "inf",   "nan",
        "NaN",   "1f",   "1L",       "1e5f",         "true",     "\"1\"",     "[1]",   "1-",
        "1-1",   "1+1",  "\xD9\xA1", "\xEF\xBC\x91", "1\xC2\xA0"}) {
    CAPTURE(text);
    CHECK(!is_json_number(text));
  }
}

TEST_CASE("a number is too large for a double, or only too small, whatever its form") {
  const std::string zeros(400, '0');
  for (const std::string& text :
       {std::string("1.5e308"), std::string("1e-999"), std::string("-1.5e-999"), "0." + zeros + "1",
        "0." + zeros + "1e500", "1" + zeros + "e-200", "0." + zeros + "1e-999999999999999999999",
        std::string("0e999"), std::string("0.0e99999999999999999999")}) {
    CAPTURE(text);
    CHECK(is_json_number(text));
  }
  for (const std::string& text :
       {std::string("1.5e309"), std::string("-1.5e999"), "1" + zeros, "1" + zeros + ".5e-50",
        "0." + zeros + "1e900", std::string("0.1e999999999999999999999"), "-9" + zeros + "e+1"}) {
    CAPTURE(text);
    CHECK(!is_json_number(text));
  }
}

/// Makes a locale with a decimal comma the current one for as long as it lives, where there is one.
class CommaLocale {
 public:
  CommaLocale() {
    for (const char* name : {"de_DE.UTF-8", "fr_FR.UTF-8", "comma"}) {
      if (std::setlocale(LC_NUMERIC, name) != nullptr) { break; }
    }
  }
  ~CommaLocale() { std::setlocale(LC_NUMERIC, "C"); }
  static bool is_there() { return *std::localeconv()->decimal_point == ','; }
};

TEST_CASE("the locale does not matter to a number") {
  // glibc finds a locale of this name below LOCPATH; it is compiled here if it can be.
  const test::TemporaryDirectory folder;
  setenv("LOCPATH", folder.path("").c_str(), 1);
  const std::string command =
      "localedef -i de_DE -f UTF-8 '" + folder.path("comma") + "' >/dev/null 2>&1";
  [[maybe_unused]] const int status = std::system(command.c_str());
  {
    const CommaLocale locale;
    if (CommaLocale::is_there()) {
      CHECK(!is_json_number("1.5e999"));
      CHECK(!is_json_number("-1.5e9999"));
      CHECK(is_json_number("1.5e300"));
    } else {
      MESSAGE("skipped: no locale with a decimal comma");
    }
  }
  unsetenv("LOCPATH");
}

TEST_CASE("a NUL is no end of a number or a word") {
  using namespace std::string_view_literals;
  for (const std::string_view text : {"\0"sv, "1\0"sv, "\0001"sv, "1\0002"sv, "1.5e3\0"sv}) {
    CHECK(!is_json_number(text));
  }
  for (const std::string_view text : {"\0"sv, "true\0"sv, "nul\0"sv, "null\0null"sv}) {
    CHECK(!is_json_word(text));
  }
}

TEST_CASE("a number ends where a double does") {
  for (const std::string_view text :
       {"1e308", "-1e308", "1.7976931348623157e308", "-1.7976931348623157E+308",
        "0.00000000017976931348623157e318", "17976931348623157e292", "1e-308", "4.9e-324"}) {
    CAPTURE(text);
    CHECK(is_json_number(text));
  }
  for (const std::string_view text :
       {"1e309", "-1e309", "1.8e308", "-1.8e308", "0.0001e313", "10e308", "1e400", "1e999",
        "1e1000000", "1e99999999999999999999", "-2e99999999999999999999"}) {
    CAPTURE(text);
    CHECK(!is_json_number(text));
  }
}

TEST_CASE("what is too small for a double is zero, and a number") {
  for (const std::string_view text : {"1e-400", "-1e-400", "1e-1000000", "1e-99999999999999999999",
                                      "0e999", "-0e400", "0.0e309", "0e99999999999999999999"}) {
    CAPTURE(text);
    CHECK(is_json_number(text));
  }
  CHECK(is_json_number("0." + std::string(1000, '0') + "1"));
  CHECK(is_json_number("0." + std::string(1000, '0') + "1e1100"));
}

TEST_CASE("the value of a number decides, not how many digits it has") {
  // A short way is taken up to 200 digits and exponents of two: both sides of that.
  for (const std::size_t digits : {199U, 200U, 201U, 308U, 309U}) {
    CAPTURE(digits);
    CHECK(is_json_number(std::string(digits, '1')));
    CHECK(is_json_number("-" + std::string(digits, '9') + ".5e-99"));
  }
  CHECK(is_json_number(std::string(200, '9') + "e99"));
  CHECK(is_json_number(std::string(200, '9') + "e108"));
  CHECK(!is_json_number(std::string(200, '9') + "e109"));
  CHECK(is_json_number(std::string(201, '1') + "e99"));
  CHECK(!is_json_number(std::string(309, '9')));
  CHECK(!is_json_number(std::string(310, '1')));
  CHECK(!is_json_number("-" + std::string(310, '1') + ".0"));
  CHECK(is_json_number(std::string(310, '1') + "e-99"));
  CHECK(is_json_number(std::string(100'000, '1') + "e-99999"));
  CHECK(is_json_number("0." + std::string(100'000, '9')));
  // Only zeros behind the e, and still 1e5.
  CHECK(is_json_number("1e" + std::string(1000, '0') + "5"));
}

TEST_CASE("texts of a number's characters are judged as another parser judges them") {
  const std::string_view alphabet = "0123456789..--+eE";
  std::mt19937 random(2026);  // NOLINT(cert-msc51-cpp): the same texts each time
  std::size_t numbers = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string text;
    for (auto size = random() % 9; size > 0; --size) {
      text.push_back(alphabet[random() % alphabet.size()]);
    }
    const bool accepted = is_json_number(text);
    if (accepted != nlohmann::json::accept(text)) { FAIL_CHECK(accepted << ": " << text); }
    numbers += accepted ? 1 : 0;
  }
  CHECK(numbers > 10'000);
}

TEST_CASE("there are three words, in small letters") {
  for (const std::string_view text : {"true", "false", "null"}) {
    CAPTURE(text);
    CHECK(is_json_word(text));
    CHECK(!is_json_number(text));
  }
  for (const std::string_view text :
       {"",       "t",    "tru",       "truee", "True",      "TRUE",     "fals",
        "falsey", "nul",  "nulll",     "Null",  " null",     "null ",    "null\n",
        "nil",    "none", "undefined", "yes",   "truefalse", "\"true\"", "1"}) {
    CAPTURE(text);
    CHECK(!is_json_word(text));
  }
}

TEST_CASE("an id is a JSON string or a JSON number, and nothing stands around it") {
  for (const std::string_view id : {"0", "-1.5e3", R"("")", R"("a\"b\u00e4")", "\"\xc3\xa4\""}) {
    CAPTURE(id);
    CHECK(is_json_id(id));
  }
  for (const std::string_view id :
       {"", "null", "true", "[1]", "{}", "01", "1 ", " 1", R"("a)", R"(a")", R"("a"b")", R"("\x")",
        R"(""")", "\"\n\"", "\"\xff\"", "\""}) {
    CAPTURE(id);
    CHECK_FALSE(is_json_id(id));
  }
}

}  // namespace
}  // namespace handoff

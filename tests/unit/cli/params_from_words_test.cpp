// SPDX-License-Identifier: MIT
#include "cli/params_from_words.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "unit/support.hpp"

using handoff::InvalidArgument;
using handoff::test::thrown_by;

namespace {

using Words = std::vector<std::string>;

std::string params(const Words& words) {
  return handoff::params_from_words(words);
}

std::string problem(const Words& words) {
  return thrown_by<InvalidArgument>([&] { params(words); }).what();
}

}  // namespace

TEST_CASE("no words are null") {
  CHECK(params({}) == "null");
}

TEST_CASE("one word of JSON is itself, to the byte") {
  for (const char* word : {"5", "-5", "1.10", "12345678901234567890123", "true", "null", "\"x\"",
                           "\"key=text\"", "[]", "{ \"a\" : [1, 2] }", " 7 "}) {
    CAPTURE(word);
    CHECK(params({word}) == word);
  }
}

TEST_CASE("KEY=TEXT is a member that is a string, whatever it looks like") {
  CHECK(params({"a=1"}) == R"({"a":"1"})");
  CHECK(params({"a="}) == R"({"a":""})");
  CHECK(params({"a=b=c"}) == R"({"a":"b=c"})");
  CHECK(params({"a=:=1"}) == R"({"a":":=1"})");
}

TEST_CASE("KEY:=JSON is a member that is this JSON, untouched") {
  CHECK(params({"a:=1.10"}) == R"({"a":1.10})");
  CHECK(params({"a:=\"x=y\""}) == R"({"a":"x=y"})");
  CHECK(params({"a:={\"b\": []}"}) == R"({"a":{"b": []}})");
}

TEST_CASE("members keep the order of their words") {
  CHECK(params({"b=1", "a:=2", "c="}) == R"({"b":"1","a":2,"c":""})");
}

TEST_CASE("keys and texts are quoted as JSON") {
  CHECK(params({"say \"x\"=a\\b\n\x01"}) == R"({"say \"x\"":"a\\b\n\u0001"})");
  CHECK(params({"a:b=c"}) == R"({"a:b":"c"})");
}

TEST_CASE("bytes that are no UTF-8 are refused, and not replaced") {
  for (const std::string word : {"a=\xff", "\xff=a", "a\xc3"}) {
    CAPTURE(word);
    CHECK(problem({word}).ends_with(": write it in UTF-8, for JSON has nothing else"));
    CHECK(problem({"b=1", word}).ends_with(": write it in UTF-8, for JSON has nothing else"));
  }
}

TEST_CASE("a word that is neither JSON nor a member is refused with the forms that there are") {
  const std::string forms =
      R"(neither JSON nor KEY=TEXT nor KEY:=JSON (a string is written '"text"'))";
  CHECK(problem({"foo"}) == "params foo: " + forms);
  CHECK(problem({"=1"}) == "params =1: " + forms);
  CHECK(problem({"a=1", "foo"}) == "params foo: " + forms);
}

TEST_CASE("a word that begins with @ is the JSON in that file") {
  const handoff::test::TemporaryDirectory directory;
  const std::string path = directory.path("params.json");
  std::ofstream(path) << "{\"a\": 1.0}\n";
  CHECK(params({"@" + path}) == "{\"a\": 1.0}\n");
  std::ofstream(path) << "{";
  CHECK(problem({"@" + path}).starts_with("params @" + path + ": not valid JSON: "));
  const auto error =
      thrown_by<handoff::SystemError>([&] { params({"@" + directory.path("none")}); });
  CHECK(error.what() == "cannot open " + directory.path("none") + ": No such file or directory");
}

TEST_CASE("JSON and the dash are refused among other words") {
  const std::string why = "write only one JSON value, only KEY=TEXT and KEY:=JSON words, or only -";
  CHECK(problem({"1", "2"}) == "params 1: " + why);
  CHECK(problem({"a=1", "2"}) == "params 2: " + why);
  CHECK(problem({"{}", "a=1"}) == "params {}: " + why);
  CHECK(problem({"a=1", "\"b=c\""}) == "params \"b=c\": " + why);
  CHECK(problem({"-", "5"}) == "params -: " + why);
  CHECK(problem({"a=1", "-"}) == "params -: " + why);
}

TEST_CASE("a key that is given twice is refused") {
  CHECK(problem({"a=1", "b=2", "a=3"}) == "params a: the key is given twice");
  CHECK(problem({"a=1", "a:=2"}) == "params a: the key is given twice");
  CHECK(params({"a=1", "A=2", "a:b=3"}) == R"({"a":"1","A":"2","a:b":"3"})");
}

TEST_CASE("a word that begins like JSON is refused with what is wrong with it") {
  CHECK(problem({"{\"a\":"}) ==
        "params {\"a\":: not valid JSON: misplaced or missing punctuation at column 6, the end");
  CHECK(problem({"\"x"}) == "params \"x: not valid JSON: a string is not closed at column 1");
  CHECK(problem({"[] []"}) ==
        "params [] []: not valid JSON: something follows the value at column 4");
  CHECK(
      problem({"\"a\"=1"}).ends_with(": not valid JSON: something follows the value at column 4"));
  CHECK(problem({std::string(100, '[')})
            .ends_with(": not valid JSON: nested too deeply at column 64"));
}

TEST_CASE("what follows := is refused if it is not JSON") {
  CHECK(problem({"a:="}) == "params a:=: not JSON after := (empty)");
  CHECK(problem({"a=1", "b:=x y"}).starts_with("params b:=x y: not JSON after := ("));
}

// SPDX-License-Identifier: MIT
#include "methods/call_arguments.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace handoff {
namespace {

using Words = std::vector<std::string>;

CallArguments arguments_of(std::string_view params) {
  CallArguments arguments;
  const Status status = read_call_arguments(params, arguments);
  CHECK(status == Status::ok());
  return arguments;
}

std::string problem_of(std::string_view params) {
  CallArguments arguments;
  const Status status = read_call_arguments(params, arguments);
  return status.is_ok() ? "" : status.why();
}

TEST_CASE("the elements of an array are words, strings by their text and other values as JSON") {
  const CallArguments arguments = arguments_of(
      R"( ["a b", "", "\u00e9\n\"", 1.50, 123456789012345678901, true, null, [1, "x"], {"a" : "b"}] )");
  CHECK(arguments.words == Words{"a b", "", "\xc3\xa9\n\"", "1.50", "123456789012345678901", "true",
                                 "null", "[1,\"x\"]", "{\"a\":\"b\"}"});
  CHECK(arguments.variables.empty());
}

TEST_CASE("the members of an object are variables whose names have a prefix") {
  const CallArguments arguments =
      arguments_of(R"({"_a1": "x=y $z", "B": {"c" : [1, 2]}, "\u0063": 0})");
  CHECK(arguments.variables ==
        Words{"RPC_ARG__a1=x=y $z", "RPC_ARG_B={\"c\":[1,2]}", "RPC_ARG_c=0"});
  CHECK(arguments.words.empty());
}

TEST_CASE("null, and an array or object without anything in it, are no arguments") {
  for (const char* params : {"null", "[]", "{}", " [ ] ", " { } "}) {
    CAPTURE(params);
    const CallArguments arguments = arguments_of(params);
    CHECK(arguments.words.empty());
    CHECK(arguments.variables.empty());
  }
}

TEST_CASE("params that are one string, number, true or false are no arguments but a problem") {
  for (const char* params : {"\"a\"", "1", "true", "false"}) {
    CAPTURE(params);
    CHECK(problem_of(params) == "the params must be an array or an object: they become arguments");
  }
}

TEST_CASE("a NUL in an argument is a problem") {
  CHECK(problem_of(R"(["a\u0000b"])") == "an argument can't have a NUL in it");
  CHECK(problem_of(R"({"a": "\u0000"})") == "an argument can't have a NUL in it");
  // As JSON it is an escape.
  CHECK(arguments_of(R"([["\u0000"]])").words == Words{R"(["\u0000"])"});
}

TEST_CASE("a name that no variable can have is a problem, and one that comes twice") {
  for (const char* name : {"", "1a", "a-b", "a=b", "a b", "\xc3\xa9", "a.b", "\\u0000", "a\\n"}) {
    CAPTURE(name);
    CHECK(problem_of(std::string("{\"").append(name).append("\": 1}"))
              .ends_with("can't be that of a variable: write letters, digits and _, not a digit "
                         "first"));
  }
  CHECK(problem_of(R"({"a": 1, "\u0061": 2})") == "the name 'a' comes twice");
  CHECK(problem_of("{\"" + std::string(5000, '-') + "\": 1}").size() < 300);
}

TEST_CASE("arguments may have 128 KiB together, each with the byte that ends it") {
  const std::string most(kMaxArgumentBytes - 1, 'x');
  CHECK(arguments_of("[\"" + most + "\"]").words == Words{most});
  CHECK(problem_of("[\"" + most + "x\"]") == "the arguments exceed the limit of 131072 bytes");
  CHECK(problem_of("[\"" + most + "\", \"\"]") == "the arguments exceed the limit of 131072 bytes");
  CHECK(problem_of("{\"a\": \"" + most + "\"}") ==
        "the arguments exceed the limit of 131072 bytes");
  CHECK(problem_of("{\"a\": \"" + most.substr(std::string("RPC_ARG_a=").size()) + "\"}").empty());
}

}  // namespace
}  // namespace handoff

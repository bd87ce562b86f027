// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/wire/errors.hpp>
#include <handoff/wire/request.hpp>

#include "unit/wire/body.hpp"

namespace handoff {
namespace {

TEST_CASE("a request has a method, params and an id") {
  test::Bodies bodies;
  const Request request = bodies.accept(R"({"in":"ping","params":[1,2],"id":7})");
  CHECK(request.method == "ping");
  CHECK(request.params == "[1,2]");
  CHECK(request.id == "7");
}

TEST_CASE("the fields of a request come in any order, among unknown ones") {
  test::Bodies bodies;
  const std::vector<std::string> fields = {R"("in":"m")", R"("params":{"a":1})", R"("id":"x")",
                                           R"("trace":[{"in":1,"id":2}])"};
  std::vector<std::size_t> order = {0, 1, 2, 3};
  do {
    const Request request = bodies.accept("{" + fields[order[0]] + "," + fields[order[1]] + "," +
                                          fields[order[2]] + "," + fields[order[3]] + "}");
    CHECK(request.method == "m");
    CHECK(request.params == R"({"a":1})");
    CHECK(request.id == R"("x")");
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("absent params are null, an absent id is empty") {
  test::Bodies bodies;
  const Request request = bodies.accept(R"({"in":"m"})");
  CHECK(request.params == "null");
  CHECK(request.id.empty());
  CHECK(bodies.accept(R"({"in":"m","params":null})").params == "null");
}

TEST_CASE("params are kept byte for byte") {
  test::Bodies bodies;
  for (const std::string_view params :
       {"0", "-0", "1.50", "1E+2", "1e-7", "123456789012345678901234567890", "true", "false",
        "null", R"("")", R"("a\u0041\/\n\ud83d\ude00")", "\"gr\xC3\xBC\xC3\x9F\"", "[]", "{}",
        "[ 1 ,\t2\n]", R"({ "b" : [ {} , [ ] ] , "a" : "}]," })", R"({"a":1,"a":2})"}) {
    CAPTURE(params);
    for (const std::string_view space : {"", " ", "\n\t \r"}) {
      const std::string padded = std::string(space) + std::string(params) + std::string(space);
      CHECK(bodies.accept(R"({"params":)" + padded + R"(,"in":"m"})").params == params);
      CHECK(bodies.accept(R"({"in":"m","params":)" + padded + "}").params == params);
    }
  }
}

TEST_CASE("escapes in a method's name are resolved") {
  test::Bodies bodies;
  CHECK(bodies.accept(R"({"in":"\u0070ing"})").method == "ping");
  CHECK(bodies.accept(R"({"in":"a\"b\\c\/d\n"})").method == "a\"b\\c/d\n");
  CHECK(bodies.accept(R"({"in":"\ud83d\ude00"})").method == "\xF0\x9F\x98\x80");
  CHECK(bodies.accept(R"({"in":"a\u0000b"})").method == std::string_view("a\0b", 3));
  CHECK(bodies.accept(R"({"in":""})").method.empty());
  CHECK(bodies.accept(R"({"in":"../../bin/sh"})").method == "../../bin/sh");
  const std::string name(10'000, 'n');
  CHECK(bodies.accept(R"({"in":")" + name + "\"}").method == name);
}

TEST_CASE("escapes in the envelope's names are resolved") {
  test::Bodies bodies;
  const Request request = bodies.accept(R"({"\u0069n":"m","par\u0061ms":1,"\u0069d":2})");
  CHECK(request.method == "m");
  CHECK(request.params == "1");
  CHECK(request.id == "2");
}

TEST_CASE("an id is any string or number, kept as it came") {
  test::Bodies bodies;
  for (const std::string_view id : {"0", "-1", "1.0", "1e3", R"("")", R"("\u0041")", R"("a b")"}) {
    CHECK(bodies.accept(R"({"in":"m","id": )" + std::string(id) + " }").id == id);
  }
}

TEST_CASE("one parser reads one body after another, also after a bad one") {
  test::Bodies bodies;
  const std::string large = R"({"in":"large","params":")" + std::string(300'000, 'x') + "\"}";
  for (int i = 0; i < 3; ++i) {
    CHECK(bodies.accept(R"({"in":"a"})").method == "a");
    CHECK(bodies.refuse("{").code == ErrorCode::parse_error);
    CHECK(bodies.accept(large).params.size() == 300'002);
    CHECK(bodies.refuse("[]").code == ErrorCode::invalid_request);
  }
}

}  // namespace
}  // namespace handoff

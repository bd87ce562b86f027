// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <handoff/wire/dialect.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/request.hpp>

#include "unit/wire/body.hpp"

namespace handoff {
namespace {

constexpr std::string_view kNotAnObject = "a request is an object";
constexpr std::string_view kNoVersion = R"('jsonrpc' is not "2.0")";

/// A request with these fields.
std::string request_with(const std::string& fields) {
  return R"({"jsonrpc":"2.0",)" + fields + "}";
}

const BadRequest* bad_of(const ParsedRequest& parsed) {
  return std::get_if<BadRequest>(&parsed);
}

void check_bad(const ParsedRequest& parsed, std::string_view message, std::string_view id = "") {
  const BadRequest* bad = bad_of(parsed);
  REQUIRE(bad != nullptr);
  CHECK(bad->code == ErrorCode::invalid_request);
  CHECK(bad->message == message);
  CHECK(bad->id == id);
  CHECK(bad->dialect == Dialect::json_rpc);
}

TEST_CASE("a request of JSON-RPC has a method, params and an id") {
  test::Bodies bodies;
  const Request request =
      bodies.accept(R"({"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":1})");
  CHECK(request.method == "subtract");
  CHECK(request.params == "[42,23]");
  CHECK(request.id == "1");
  CHECK(request.dialect == Dialect::json_rpc);
  CHECK(!request.is_notification());
}

TEST_CASE("what says jsonrpc is JSON-RPC, whatever was usual") {
  test::Bodies bodies;
  for (const Dialect usual : {Dialect::article, Dialect::json_rpc}) {
    CHECK(bodies.accept(request_with(R"("method":"m")"), usual).dialect == Dialect::json_rpc);
    CHECK(bodies.accept(request_with(R"("method":"m","in":"n")"), usual).method == "m");
    CHECK(bodies.refuse(R"({"jsonrpc":"1.0","in":"n"})", usual).dialect == Dialect::json_rpc);
    CHECK(bodies.accept(R"({"in":"n"})", usual).dialect == Dialect::article);
    CHECK(bodies.accept(R"({"in":"n","method":"m"})", usual).method == "n");
    CHECK(bodies.refuse(R"({"in":1,"method":"m"})", usual).dialect == Dialect::article);
  }
}

TEST_CASE("what does not tell its dialect is judged by the usual one") {
  test::Bodies bodies;
  for (const std::string_view body :
       {"{}", R"({"method":"m","id":1})", "1", "null", R"("jsonrpc")", "", "{", "[",
        R"({"jsonrpc":"2.0","method":"m")", R"([{"jsonrpc":"2.0","method":"m"},)", "[]"}) {
    CAPTURE(body);
    CHECK(bodies.refuse(body).dialect == Dialect::article);
    CHECK(bodies.refuse(body, Dialect::json_rpc).dialect == Dialect::json_rpc);
  }
  CHECK(bodies.refuse(R"({"method":"m","id":1})").message == "no field 'in'");
  CHECK(bodies.refuse(R"({"method":"m","id":1})", Dialect::json_rpc).message == kNoVersion);
  CHECK(bodies.refuse("1", Dialect::json_rpc).message == kNotAnObject);
}

TEST_CASE("the fields of JSON-RPC come in any order, among unknown ones") {
  test::Bodies bodies;
  std::vector<std::string> fields = {R"("id":"x")", R"("jsonrpc":"2.0")", R"("method":"m")",
                                     R"("params":{"a":1})", R"("x":[{"jsonrpc":1,"id":2}])"};
  do {
    std::string body;
    for (const std::string& field : fields) { body += (body.empty() ? "{" : ",") + field; }
    const Request request = bodies.accept(body + "}");
    CHECK(request.method == "m");
    CHECK(request.params == R"({"a":1})");
    CHECK(request.id == R"("x")");
  } while (std::next_permutation(fields.begin(), fields.end()));
}

TEST_CASE("without an id it is a notification, with the id null it is not") {
  test::Bodies bodies;
  const Request notification = bodies.accept(request_with(R"("method":"m")"));
  CHECK(notification.is_notification());
  CHECK(notification.id.empty());
  const Request request = bodies.accept(request_with(R"("method":"m","id":null)"));
  CHECK(!request.is_notification());
  CHECK(request.id == "null");
  CHECK(!bodies.accept(request_with(R"("method":"m","id":"")")).is_notification());
  CHECK(!bodies.accept(R"({"in":"m"})").is_notification());
}

TEST_CASE("params are an object or an array, and null counts as none") {
  test::Bodies bodies;
  for (const std::string_view params :
       {"[]", "{}", "[ 1 ,\t2\n]", R"({ "a" : [ {} ] })", R"(["a\u0041\/\n"])", "[1.50,1E+2,-0]"}) {
    CAPTURE(params);
    for (const std::string_view space : {"", " ", "\n\t \r"}) {
      const std::string padded = std::string(space) + std::string(params) + std::string(space);
      CHECK(bodies.accept(request_with(R"("method":"m","params":)" + padded)).params == params);
      CHECK(bodies.accept(R"({"params":)" + padded + R"(,"method":"m","jsonrpc":"2.0"})").params ==
            params);
    }
  }
  CHECK(bodies.accept(request_with(R"("method":"m")")).params == "null");
  CHECK(bodies.accept(request_with(R"("method":"m","params": null )")).params == "null");
  for (const std::string params : {"0", "-1.5", "true", "false", R"("")", R"("[]")", R"("null")"}) {
    CAPTURE(params);
    const BadRequest bad = bodies.refuse(request_with(R"("method":"m","id":7,"params":)" + params));
    CHECK(bad.code == ErrorCode::invalid_request);
    CHECK(bad.message == "'params' is neither an object nor an array");
    CHECK(bad.id == "7");
  }
}

TEST_CASE("an id of JSON-RPC is any string, number or null, kept as it came") {
  test::Bodies bodies;
  for (const std::string_view id :
       {"0", "-0", "-1", "1.0", "1e3", "1E+2", "123456789012345678901234567890", R"("")",
        R"("\u0041\/")", R"("a b")", "\"\xC3\xA9\"", R"("1")", R"("null")", "null"}) {
    CAPTURE(id);
    CHECK(bodies.accept(request_with(R"("method":"m","id": )" + std::string(id) + " ")).id == id);
    CHECK(bodies.accept(R"({"id":)" + std::string(id) + R"(,"jsonrpc":"2.0","method":"m"})").id ==
          id);
  }
  for (const std::string id : {"true", "false", "[]", "[1]", "{}", R"({"id":1})"}) {
    CAPTURE(id);
    const BadRequest bad = bodies.refuse(request_with(R"("method":"m","id":)" + id));
    CHECK(bad.message == "'id' is neither a string nor a number nor null");
    CHECK(bad.id.empty());
  }
}

TEST_CASE("escapes in the names of JSON-RPC are resolved, in its version too") {
  test::Bodies bodies;
  const Request request = bodies.accept(
      R"({"json\u0072pc":"2\u002e0","m\u0065thod":"p\u0069ng","par\u0061ms":[1],"\u0069d":2})");
  CHECK(request.method == "ping");
  CHECK(request.params == "[1]");
  CHECK(request.id == "2");
  CHECK(bodies.accept(request_with(R"("method":"\ud83d\ude00")")).method == "\xF0\x9F\x98\x80");
  CHECK(bodies.accept(request_with(R"("method":"rpc.x")")).method == "rpc.x");
  CHECK(bodies.accept(request_with(R"("method":"")")).method.empty());
}

TEST_CASE("what is no request of JSON-RPC is refused, under its id where that is clear") {
  test::Bodies bodies;
  struct Case {
    std::string_view body;
    std::string_view message;
    std::string_view id;
  };
  constexpr std::string_view kTwice = "a field came twice";
  for (const Case& invalid : {
           Case{R"({"jsonrpc":"2.0"})", "no field 'method'", ""},
           Case{R"({"jsonrpc":"2.0","id":3})", "no field 'method'", "3"},
           Case{R"({"jsonrpc":"2.0","id":null})", "no field 'method'", "null"},
           Case{R"({"jsonrpc":"2.0","Method":"m","id":"a"})", "no field 'method'", R"("a")"},
           Case{R"({"jsonrpc":"2.0","in":"m","id":3})", "no field 'method'", "3"},
           Case{R"({"jsonrpc":"2.0","method":1,"params":"bar"})", "'method' is not a string", ""},
           Case{R"({"jsonrpc":"2.0","method":null,"id":3})", "'method' is not a string", "3"},
           Case{R"({"jsonrpc":"2.0","method":["m"],"id":3})", "'method' is not a string", "3"},
           Case{R"({"jsonrpc":"1.0","method":"m","id":3})", kNoVersion, "3"},
           Case{R"({"jsonrpc":2.0,"method":"m","id":3})", kNoVersion, "3"},
           Case{R"({"jsonrpc":"2.0 ","method":"m","id":3})", kNoVersion, "3"},
           Case{R"({"jsonrpc":"2","method":"m"})", kNoVersion, ""},
           Case{R"({"jsonrpc":"","method":"m","id":[]})", kNoVersion, ""},
           Case{R"({"jsonrpc":null,"method":"m"})", kNoVersion, ""},
           Case{R"({"jsonrpc":["2.0"],"method":"m"})", kNoVersion, ""},
           Case{R"({"jsonrpc":"2.0","jsonrpc":"2.0","method":"m","id":3})", kTwice, "3"},
           Case{R"({"jsonrpc":"2.0","method":"m","method":"m","id":3})", kTwice, "3"},
           Case{R"({"jsonrpc":"2.0","method":"m","params":[],"params":[],"id":3})", kTwice, "3"},
           Case{R"({"jsonrpc":"2.0","method":"m","params":1,"params":[],"id":3})", kTwice, "3"},
           Case{R"({"jsonrpc":"2.0","method":"m","id":3,"id":3})", kTwice, ""},
           Case{R"({"jsonrpc":"2.0","method":"m","id":3,"\u0069d":null})", kTwice, ""},
           Case{R"({"jsonrpc":"2.0","method":"m","m\u0065thod":"n"})", kTwice, ""},
           Case{R"({"jsonrpc":"2.0","result":1,"id":3})", "no field 'method'", "3"},
       }) {
    CAPTURE(invalid.body);
    check_bad(bodies.parse(invalid.body), invalid.message, invalid.id);
  }
}

TEST_CASE("the fields of the article and unknown ones may come twice in JSON-RPC") {
  test::Bodies bodies;
  const std::string twice = R"("in":1,"in":2,"out":1,"out":2,"result":1,"result":2,"x":1,"x":2)";
  CHECK(bodies.accept(request_with(twice + R"(,"method":"m")")).method == "m");
  CHECK(bodies.accept(R"({"method":1,"method":2,"in":"m"})").method == "m");
}

TEST_CASE("a request of JSON-RPC that is cut short anywhere is refused") {
  test::Bodies bodies;
  const std::string body =
      R"({"jsonrpc":"2.0","method":"me\u0041","params":[1.5e3,{"a":null}],"id":"i"})";
  REQUIRE(bodies.accept(body).method == "meA");
  for (std::size_t size = 0; size < body.size(); ++size) {
    CAPTURE(size);
    const BadRequest bad = bodies.refuse(body.substr(0, size), Dialect::json_rpc);
    CHECK(bad.code == ErrorCode::parse_error);
    CHECK(bad.dialect == Dialect::json_rpc);
    CHECK(bad.id.empty());
  }
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>

#include <handoff/wire/errors.hpp>
#include <handoff/wire/json_text.hpp>
#include <handoff/wire/limits.hpp>
#include <handoff/wire/request.hpp>

#include "unit/wire/body.hpp"

namespace handoff {
namespace {

/// What each of these says must be true wherever a value stands: it is refused as the params, in
/// them, in an unknown field, and as a text of its own.
void check_refused_everywhere(std::string_view value, std::optional<std::string_view> why = {}) {
  CAPTURE(value);
  test::Bodies bodies;
  const std::string text(value);
  for (const std::string& body :
       {R"({"in":"m","params":)" + text + "}", R"({"params":)" + text + R"(,"in":"m"})",
        R"({"in":"m","params":[{"a":)" + text + "}]}", R"({"x":{"y":)" + text + R"(},"in":"m"})"}) {
    CAPTURE(body);
    const BadRequest bad = bodies.refuse(body);
    CHECK(bad.code == ErrorCode::parse_error);
    CHECK(bad.id.empty());
    if (why) { CHECK(bad.message.starts_with(std::string(*why) + " at ")); }
  }
  const auto problem = json_problem(text);
  CHECK(problem.has_value());
  if (why && problem) { CHECK(problem->starts_with(std::string(*why) + " at ")); }
}

TEST_CASE("a body that is no object is an invalid request") {
  test::Bodies bodies;
  for (const std::string_view body : {"[]", R"([{"in":"m"}])", "1", "-1.5", R"("in")", "true",
                                      "false", "null", " null ", "[1,[2]]"}) {
    CAPTURE(body);
    const BadRequest bad = bodies.refuse(body);
    CHECK(bad.code == ErrorCode::invalid_request);
    CHECK(bad.message == "a request is an object");
    CHECK(bad.id.empty());
  }
}

TEST_CASE("an envelope that is no request is refused, under its id where that is clear") {
  test::Bodies bodies;
  struct Case {
    std::string_view body;
    std::string_view message;
    std::string_view id;
  };
  for (const Case& invalid : {
           Case{"{}", "no field 'in'", ""},
           Case{R"({"params":1,"id":3})", "no field 'in'", "3"},
           Case{R"({"In":"m","id":"a"})", "no field 'in'", R"("a")"},
           Case{R"({"x":{"in":"m"}})", "no field 'in'", ""},
           Case{R"({"in":1,"id":3})", "'in' is not a string", "3"},
           Case{R"({"in":null})", "'in' is not a string", ""},
           Case{R"({"in":["m"]})", "'in' is not a string", ""},
           Case{R"({"in":"m","id":null})", "'id' is neither a string nor a number", ""},
           Case{R"({"in":"m","id":true})", "'id' is neither a string nor a number", ""},
           Case{R"({"in":"m","id":[1]})", "'id' is neither a string nor a number", ""},
           Case{R"({"in":"m","id":{}})", "'id' is neither a string nor a number", ""},
           Case{R"({"in":"m","in":"m","id":3})", "a field came twice", "3"},
           Case{R"({"in":"m","\u0069n":"n"})", "a field came twice", ""},
           Case{R"({"in":"m","params":1,"params":1,"id":3})", "a field came twice", "3"},
           Case{R"({"in":"m","id":3,"id":3})", "a field came twice", ""},
       }) {
    CAPTURE(invalid.body);
    const BadRequest bad = bodies.refuse(invalid.body);
    CHECK(bad.code == ErrorCode::invalid_request);
    CHECK(bad.message == invalid.message);
    CHECK(bad.id == invalid.id);
  }
}

TEST_CASE("an unknown field may come twice") {
  test::Bodies bodies;
  CHECK(bodies.accept(R"({"x":1,"in":"m","x":2})").method == "m");
}

TEST_CASE("an empty body is refused") {
  test::Bodies bodies;
  CHECK(bodies.refuse("").message == "empty");
  CHECK(bodies.refuse(" \n\t").code == ErrorCode::parse_error);
}

TEST_CASE("what follows the request is refused") {
  test::Bodies bodies;
  for (const std::string_view tail : {"{}", "}", "]", ",", "1", "x", "\"", R"({"in":"m"})"}) {
    CAPTURE(tail);
    for (const std::string_view space : {"", " ", "\n"}) {
      const std::string rest = std::string(space) + std::string(tail);
      CHECK(bodies.refuse(R"({"in":"m"})" + rest).code == ErrorCode::parse_error);
      CHECK(bodies.refuse("[]" + rest).code == ErrorCode::parse_error);
      CHECK(bodies.refuse("\"a\"" + rest).code == ErrorCode::parse_error);
    }
  }
  CHECK(bodies.refuse(std::string_view("{\"in\":\"m\"}\0", 11)).code == ErrorCode::parse_error);
  CHECK(bodies.accept("{\"in\":\"m\"} \r\n\t").method == "m");
}

TEST_CASE("a body that is cut short anywhere is refused") {
  test::Bodies bodies;
  const std::string body =
      R"({"in":"me\u0041","x":{"y":[true,null]},"params":[1.5e3,{"a":"\ud83d\ude00"}],"id":"i"})";
  REQUIRE(bodies.accept(body).method == "meA");
  for (std::size_t size = 0; size < body.size(); ++size) {
    CAPTURE(size);
    CHECK(bodies.refuse(body.substr(0, size)).code == ErrorCode::parse_error);
  }
}

TEST_CASE("invalid UTF-8 is refused wherever it stands") {
  for (const std::string_view bytes :
       {"\xFF", "\x80", "\xC3", "\xC0\x80", "\xE2\x82", "\xED\xA0\x80", "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80", "\xE0\x80\x80", "\xC3("}) {
    check_refused_everywhere("\"a" + std::string(bytes) + "\"", "invalid UTF-8");
  }
  test::Bodies bodies;
  CHECK(bodies.refuse("{\"in\":\"m\",\"\xFF\":1}").message.starts_with("invalid UTF-8 at column "));
  CHECK(bodies.refuse("{\"in\":\"\xFF\"}").message.starts_with("invalid UTF-8 at column "));
  CHECK(bodies.refuse("{\"in\":\"m\"}\xFF").code == ErrorCode::parse_error);
}

TEST_CASE("lone surrogates and other bad escapes are refused, in values and in names") {
  for (const std::string escape :
       {R"(\ud800)", R"(\udc00)", R"(\ud800\ud800)", R"(\udc00\ud800)", R"(\ud800x)", R"(\ud83d\n)",
        R"(\udbff\u0041)", R"(\uDFFF)", R"(\u12)", R"(\u12G4)", R"(\x41)", R"(\')", R"(\U0041)"}) {
    check_refused_everywhere("\"" + escape + "\"", "invalid escape in a string");
    check_refused_everywhere("{\"" + escape + "\":1}", "invalid escape in a string");
    test::Bodies bodies;
    CHECK(bodies.refuse(R"({"in":")" + escape + "\"}").code == ErrorCode::parse_error);
    CHECK(bodies.refuse(R"({"in":"m",")" + escape + "\":1}").code == ErrorCode::parse_error);
  }
}

TEST_CASE("control characters in a string are refused") {
  for (char control = 0; control < 0x20; ++control) {
    check_refused_everywhere(std::string("\"a") + control + "\"",
                             "a control character in a string");
  }
  CHECK(json_problem("\"\x7F\"") == std::nullopt);
}

TEST_CASE("what JSON's grammar does not have is refused") {
  for (const std::string_view value : {"tru",
                                       "truex",
                                       "True",
                                       "nul",
                                       "nulll",
                                       "falsey",
                                       "NaN",
                                       "Infinity",
                                       "undefined",
                                       "x",
                                       "'a'",
                                       "01",
                                       "-",
                                       "-a",
                                       "+1",
                                       ".5",
                                       "1.",
                                       "1.e1",
                                       "1e",
                                       "1e+",
                                       "0x10",
                                       "1_0",
                                       "--1",
                                       "1 2",
                                       "1\v",
                                       "1\f",
                                       "1\x01",
                                       "\x01",
                                       "[1]\v",
                                       "[1\v]",
                                       "\"a\"\v",
                                       "{\"a\"\f:1}",
                                       "\"a\" \"b\"",
                                       "[1,]",
                                       "[,1]",
                                       "[,]",
                                       "[1 2]",
                                       "[1",
                                       "1]",
                                       "[1}",
                                       "{1:2}",
                                       "{a:1}",
                                       "{\"a\"}",
                                       "{\"a\":}",
                                       "{\"a\":1,}",
                                       "{,}",
                                       "{\"a\" 1}",
                                       "{\"a\":1 \"b\":2}",
                                       "{\"a\":1]",
                                       "/**/1",
                                       "1//",
                                       "\xC2\xA0"
                                       "1",
                                       "\"a",
                                       "\"a\\\"",
                                       "",
                                       ",",
                                       ":"}) {
    check_refused_everywhere(value);
  }
}

TEST_CASE("nesting to the limit is accepted, one more is refused") {
  constexpr std::size_t kLimit = limits::kMaxDepth;
  // The envelope counts, also for what is to stand in one.
  CHECK(json_problem(test::nested(kLimit - 1)) == std::nullopt);
  CHECK(json_problem(test::nested(kLimit)) == "nested too deeply at column 64");
  test::Bodies bodies;
  const auto request = [](const std::string& params) {
    return R"({"in":"m","params":)" + params + "}";
  };
  CHECK(bodies.accept(request(test::nested(kLimit - 1))).params == test::nested(kLimit - 1));
  CHECK(bodies.refuse(request(test::nested(kLimit)))
            .message.starts_with("nested too deeply at column "));
  const std::string objects = test::repeat(R"({"a":)", kLimit - 1);
  CHECK(bodies.accept(request(objects + "1" + std::string(kLimit - 1, '}'))).method == "m");
  CHECK(bodies.refuse(request(objects + "{}" + std::string(kLimit - 1, '}')))
            .message.starts_with("nested too deeply at column "));
  CHECK(bodies.refuse(R"({"in":"m","x":)" + test::nested(kLimit) + "}")
            .message.starts_with("nested too deeply at column "));
  CHECK(bodies.refuse(test::nested(kLimit)).message == "a request is an object");
  CHECK(
      bodies.refuse(test::nested(kLimit + 1)).message.starts_with("nested too deeply at column "));
  // It is depth that is limited, not their number.
  CHECK(json_problem("[" + test::repeat("[],", 1000) + "[]]") == std::nullopt);
}

TEST_CASE("a hundred thousand brackets are refused") {
  test::Bodies bodies;
  for (const std::string_view opening : {"[", R"({"a":)"}) {
    const std::string many = test::repeat(opening, 100'000);
    CHECK(bodies.refuse(many).code == ErrorCode::parse_error);
    CHECK(bodies.refuse(R"({"in":"m","params":)" + many).code == ErrorCode::parse_error);
    CHECK(json_problem(many).has_value());
  }
  CHECK(bodies.refuse(R"({"in":"m","params":)" + test::nested(100'000) + "}")
            .message.starts_with("nested too deeply at column "));
}

}  // namespace
}  // namespace handoff

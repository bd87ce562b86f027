// SPDX-License-Identifier: MIT
#include "wire/message.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support.hpp"
#include "unit/wire/body.hpp"

namespace handoff {
namespace {

std::string reply_problem(std::string_view text) {
  test::Bodies bodies;
  return test::thrown_by<ProtocolError>([&] { (void)bodies.reply(text); }).what();
}

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

TEST_CASE("a reply has a name, a result and an id") {
  test::Bodies bodies;
  const Reply reply = bodies.reply(R"({"id":"x", "result": {"a": [1]} ,"out":"p\u006fng","z":0})");
  CHECK(reply.out == "pong");
  CHECK(reply.result == R"({"a": [1]})");
  CHECK(reply.id == R"("x")");
  CHECK(bodies.reply(R"({"out":"pong","result":null})").id.empty());
}

TEST_CASE("what is no reply breaks the protocol") {
  const std::string shape = "the reply is not an object with one 'out' and one 'result'";
  for (const std::string_view text :
       {"[]", "1", "{}", R"({"out":"x"})", R"({"result":1})", R"({"out":1,"result":1})",
        R"({"out":"x","result":1,"result":2})", R"({"out":"x","out":"y","result":1})",
        R"({"out":"x","result":1,"id":1,"id":1})"}) {
    CHECK(reply_problem(text) == shape);
  }
  for (const std::string_view text : {"", "{", R"({"out":"x","result":nul})", "\xFF"}) {
    CHECK(std::string_view(reply_problem(text)).starts_with("the reply is invalid JSON: "));
  }
}

TEST_CASE("a request and a reply are written as they are read") {
  test::Bodies bodies;
  std::string request;
  append_request(request, Dialect::article, "a\"b", "[1, 2]", "7");
  CHECK(request == R"({"in":"a\"b","params":[1, 2],"id":7})");
  CHECK(bodies.accept(request).method == "a\"b");

  std::string reply = "before";
  append_reply(reply, Dialect::article, R"("pong")", "1.50", R"("x")");
  CHECK(reply == R"(before{"out":"pong","result":1.50,"id":"x"})");
}

TEST_CASE("an empty id is left out") {
  std::string out;
  append_request(out, Dialect::article, "m", "null");
  append_reply(out, Dialect::article, R"("m")", "null");
  CHECK(out == R"({"in":"m","params":null}{"out":"m","result":null})");
}

TEST_CASE("an error reply carries code, message and data") {
  std::string out;
  append_error(out, Dialect::article, ErrorCode::timed_out, "too \"late\"", R"({"ms": 5})", "1");
  CHECK(out == R"({"out":"error","result":{"code":-32002,"message":"too \"late\"",)"
               R"("data":{"ms": 5}},"id":1})");
  test::Bodies bodies;
  const Reply reply = bodies.reply(out);
  CHECK(reply.out == "error");
  const ErrorResult error = parse_error_result(reply.result);
  CHECK(error.code == -32002);
  CHECK(error.message == "too \"late\"");
  CHECK(error.data == R"({"ms": 5})");

  out.clear();
  append_error(out, Dialect::article, ErrorCode::parse_error, "x", "");
  CHECK(out == R"({"out":"error","result":{"code":-32700,"message":"x"}})");
}

TEST_CASE("what an error result lacks stays empty") {
  for (const std::string_view text :
       {"null", "[1]", R"("text")", "{}", R"({"code":"1","message":2})"}) {
    const ErrorResult error = parse_error_result(text);
    CHECK(error.code == 0);
    CHECK(error.message.empty());
    CHECK(error.data.empty());
  }
  CHECK(parse_error_result(R"({"data":null})").data == "null");
}

TEST_CASE("any bytes can be quoted as a JSON string") {
  CHECK(quote_json("") == R"("")");
  CHECK(quote_json("a\"b\\c\n\x01") == R"("a\"b\\c\n\u0001")");
  CHECK(quote_json(std::string_view("a\0b", 3)) == R"("a\u0000b")");
  CHECK(quote_json("gr\xC3\xBCn") == "\"gr\xC3\xBCn\"");
  const std::string replacement = "\xEF\xBF\xBD";
  CHECK(quote_json("a\xFFz") == "\"a" + replacement + "z\"");
  for (const std::string_view bytes : {"\xC3", "\xED\xA0\x80", "\xC0\x80", "\xF5\x80\x80\x80"}) {
    CHECK(json_problem(quote_json(bytes)) == std::nullopt);
    CHECK(quote_json(bytes).find(replacement) != std::string::npos);
  }
}

TEST_CASE("JSON becomes one line, its tokens untouched") {
  CHECK(minify_json(" { \"a b\" :\n[ 1.50 ,\t\" \\n\" ] }\r\n") == R"({"a b":[1.50," \n"]})");
  CHECK(minify_json("1E+2") == "1E+2");
  CHECK(minify_json("") == "");
  // Each length, for the work is done in blocks.
  for (std::size_t size = 0; size < 200; ++size) {
    const std::string text = "\"" + std::string(size, ' ') + "\"";
    CHECK(minify_json(text) == text);
    CHECK(minify_json("[" + std::string(size, ' ') + "]") == "[]");
  }
}

TEST_CASE("the text of a JSON string is told, that of another value not") {
  CHECK(json_string(R"("a\u0041\n")") == "aA\n");
  CHECK(json_string(R"("")") == "");
  for (const std::string_view text : {"1", "null", "[\"a\"]", "{}", ""}) {
    CHECK(json_string(text) == std::nullopt);
  }
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "wire/reply.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include <handoff/wire/errors.hpp>

#include "unit/support.hpp"
#include "unit/wire/body.hpp"

namespace handoff {
namespace {

std::string reply_problem(std::string_view text) {
  test::Bodies bodies;
  return test::thrown_by<ProtocolError>([&] { (void)bodies.reply(text); }).what();
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

TEST_CASE("a reply of JSON-RPC has a result or an error, and an id") {
  test::Bodies bodies;
  const std::string text = R"({"id": "x", "result": {"a": [1]} ,"json\u0072pc":"2.0","z":0})";
  const Reply reply = bodies.reply(text);
  CHECK(!reply.is_error());
  CHECK(reply.out.empty());
  CHECK(reply.result == R"({"a": [1]})");
  CHECK(reply.id == R"("x")");
  CHECK(reply.body == text);
  CHECK(bodies.reply(R"({"jsonrpc":"2.0","result":null,"id":1})").result == "null");

  const Reply error =
      bodies.reply(R"({"jsonrpc":"2.0","error":{"code":-1,"message":"no"},"id":null})");
  CHECK(error.is_error());
  CHECK(error.id == "null");
  CHECK(parse_error_result(error.result).message == "no");
  CHECK(bodies.reply(R"({"jsonrpc":"2.0","error":null,"id":1})").is_error());
}

TEST_CASE("what is no reply of JSON-RPC breaks the protocol") {
  for (const std::string_view text :
       {R"({"jsonrpc":"2.0","id":1})", R"({"jsonrpc":"2.0","result":1,"error":{},"id":1})",
        R"({"jsonrpc":"2.0","result":1,"error":null,"id":1})",
        R"({"jsonrpc":"2.0","result":1,"result":1,"id":1})",
        R"({"jsonrpc":"2.0","error":{},"error":{},"id":1})",
        R"({"jsonrpc":"2.0","result":1,"id":1,"id":1})",
        R"({"jsonrpc":"2.0","jsonrpc":"2.0","result":1,"id":1})",
        R"({"jsonrpc":"2.0","method":"m","id":1})"}) {
    CAPTURE(text);
    CHECK(reply_problem(text) == "the reply does not have one of 'result' and 'error'");
  }
  for (const std::string_view text :
       {R"([{"jsonrpc":"2.0","result":1,"id":1}])", R"({"result":1,"id":1})", R"({"error":{}})"}) {
    CAPTURE(text);
    CHECK(reply_problem(text) == "the reply is not an object with one 'out' and one 'result'");
  }
  CHECK(std::string_view(reply_problem(R"({"jsonrpc":"2.0","result":nul,"id":1})"))
            .starts_with("the reply is invalid JSON: "));
}

}  // namespace
}  // namespace handoff

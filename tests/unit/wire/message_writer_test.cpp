// SPDX-License-Identifier: MIT
#include "wire/message_writer.hpp"

#include <doctest/doctest.h>

#include <string>

#include <handoff/wire/dialect.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/request.hpp>

#include "unit/wire/body.hpp"
#include "wire/reply.hpp"

namespace handoff {
namespace {

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

TEST_CASE("a request of JSON-RPC is written as it is read") {
  test::Bodies bodies;
  std::string out;
  append_request(out, Dialect::json_rpc, "a\"b", "[1, 2]", "7");
  CHECK(out == R"({"jsonrpc":"2.0","method":"a\"b","params":[1, 2],"id":7})");
  CHECK(bodies.accept(out).method == "a\"b");

  out = "before";
  append_request(out, Dialect::json_rpc, "m", "null", "null");
  CHECK(out == R"(before{"jsonrpc":"2.0","method":"m","id":null})");

  out.clear();
  append_request(out, Dialect::json_rpc, "m", "{}");
  CHECK(out == R"({"jsonrpc":"2.0","method":"m","params":{}})");
  CHECK(bodies.accept(out).is_notification());
}

TEST_CASE("a reply of JSON-RPC always has an id, and no name") {
  test::Bodies bodies;
  std::string out = "before";
  append_reply(out, Dialect::json_rpc, R"("pong")", "1.50", R"("x")");
  CHECK(out == R"(before{"jsonrpc":"2.0","result":1.50,"id":"x"})");
  out.clear();
  append_reply(out, Dialect::json_rpc, R"("pong")", "null");
  CHECK(out == R"({"jsonrpc":"2.0","result":null,"id":null})");
  CHECK(bodies.reply(out).id == "null");
}

TEST_CASE("an error of JSON-RPC carries code, message and data") {
  test::Bodies bodies;
  std::string out = "before";
  append_error(out, Dialect::json_rpc, ErrorCode::timed_out, "too \"late\"", R"({"ms": 5})", "1");
  CHECK(out == R"(before{"jsonrpc":"2.0","error":{"code":-32002,"message":"too \"late\"",)"
               R"("data":{"ms": 5}},"id":1})");
  out.clear();
  append_error(out, Dialect::json_rpc, ErrorCode::parse_error, "x", "");
  CHECK(out == R"({"jsonrpc":"2.0","error":{"code":-32700,"message":"x"},"id":null})");
  const ErrorResult error = parse_error_result(bodies.reply(out).result);
  CHECK(error.code == -32700);
  CHECK(error.message == "x");
  CHECK(error.data.empty());
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <handoff/wire/dialect.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/limits.hpp>
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

TEST_CASE("a batch is its requests, in their order, the bad among the good") {
  test::Bodies bodies;
  const ParsedBody batch = bodies.parse_body(R"([
    {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
    {"jsonrpc": "2.0", "method": "notify_h\u0065llo", "params": [7]},
    {"foo": "boo"}, 1, [], "x", null, {"in": "ping", "id": 2},
    {"jsonrpc": "2.0", "method": "g\u0065t_data", "params": {"a": 1}, "id": 9}])");
  CHECK(batch.is_batch);
  REQUIRE(batch.requests.size() == 9);
  const auto& sum = std::get<Request>(batch.requests[0]);
  CHECK(sum.method == "sum");
  CHECK(sum.params == "[1,2,4]");
  CHECK(sum.id == R"("1")");
  CHECK(sum.dialect == Dialect::json_rpc);
  const auto& notification = std::get<Request>(batch.requests[1]);
  CHECK(notification.method == "notify_hello");
  CHECK(notification.params == "[7]");
  CHECK(notification.is_notification());
  check_bad(batch.requests[2], kNoVersion);
  for (std::size_t i = 3; i < 7; ++i) { check_bad(batch.requests[i], kNotAnObject); }
  check_bad(batch.requests[7], kNoVersion, "2");
  const auto& get = std::get<Request>(batch.requests[8]);
  CHECK(get.method == "get_data");
  CHECK(get.params == R"({"a": 1})");
  CHECK(get.id == "9");
}

TEST_CASE("what says jsonrpc anywhere in an array makes it a batch") {
  test::Bodies bodies;
  const std::string valid = request_with(R"("method":"m")");
  for (const std::string& body :
       {"[" + valid + "]", "[1," + valid + "]", "[" + valid + ",1]", "[{},[]," + valid + ",{}]",
        std::string(R"([1,{"jsonrpc":null}])"), std::string(R"([{"json\u0072pc":1},2])")}) {
    CAPTURE(body);
    const ParsedBody batch = bodies.parse_body(body);
    CHECK(batch.is_batch);
    CHECK(!batch.requests.empty());
  }
  CHECK(bodies.parse_body("[" + valid + "]").requests.size() == 1);
}

TEST_CASE("an array in which nothing says jsonrpc is a batch where JSON-RPC is usual") {
  test::Bodies bodies;
  struct Case {
    std::string_view body;
    std::size_t size;
  };
  for (const Case& array :
       {Case{"[1]", 1}, Case{"[1,2,3]", 3}, Case{"[[],{}]", 2}, Case{R"([{"in":"ping"}])", 1},
        Case{R"(["jsonrpc"])", 1}, Case{R"([[{"jsonrpc":"2.0","method":"m"}]])", 1},
        Case{R"([{"x":{"jsonrpc":"2.0"}}])", 1}}) {
    CAPTURE(array.body);
    const BadRequest bad = bodies.refuse(array.body);
    CHECK(bad.dialect == Dialect::article);
    CHECK(bad.message == kNotAnObject);
    const ParsedBody batch = bodies.parse_body(array.body, Dialect::json_rpc);
    CHECK(batch.is_batch);
    CHECK(batch.requests.size() == array.size);
    for (const ParsedRequest& request : batch.requests) { CHECK(bad_of(request) != nullptr); }
  }
}

TEST_CASE("an empty batch is one bad request") {
  test::Bodies bodies;
  for (const std::string_view body : {"[]", " [ ] "}) {
    check_bad(bodies.parse(body, Dialect::json_rpc), "an empty batch");
    CHECK(bodies.refuse(body).message == kNotAnObject);
  }
}

TEST_CASE("a batch may have 1024 requests, and not one more") {
  test::Bodies bodies;
  const std::string call = request_with(R"("method":"m","id":1)") + ",";
  for (const std::string& one : {call, std::string("1,"), std::string("{},")}) {
    const std::string most = test::repeat(one, limits::kMaxBatch - 1);
    const ParsedBody batch = bodies.parse_body("[" + most + call + "1]");
    CHECK(!batch.is_batch);
    REQUIRE(batch.requests.size() == 1);
    check_bad(batch.requests[0], "a batch of more than 1024 requests");
    const ParsedBody whole = bodies.parse_body("[" + most + call.substr(0, call.size() - 1) + "]");
    CHECK(whole.is_batch);
    CHECK(whole.requests.size() == limits::kMaxBatch);
  }
  // The one that says jsonrpc is looked for to the end.
  const std::string late = "[" + test::repeat("1,", 5000) + R"({"jsonrpc":1}])";
  check_bad(bodies.parse(late), "a batch of more than 1024 requests");
  CHECK(bodies.refuse("[" + test::repeat("1,", 5000) + "1]").message == kNotAnObject);
}

TEST_CASE("a batch with a mistake anywhere is no batch") {
  test::Bodies bodies;
  const std::string valid = request_with(R"("method":"m","params":["a"],"id":1)");
  for (const std::string_view bad : {"",
                                     ",",
                                     "tru",
                                     "01",
                                     "1 2",
                                     "\"a",
                                     "\"\\x\"",
                                     "\"\xFF\"",
                                     "\"\n\"",
                                     "{",
                                     "[",
                                     "}",
                                     R"({"a"})",
                                     R"({"a":})",
                                     R"({"a":1,})",
                                     R"({"a":"\ud800"})",
                                     R"({"\x":1})",
                                     "{1:2}",
                                     "[1,]",
                                     R"({"jsonrpc":"2.0","method")",
                                     R"({"jsonrpc":"2.0","id":01})",
                                     "1e400",
                                     "nul",
                                     "truex"}) {
    CAPTURE(bad);
    const std::string text(bad);
    for (const std::string& body :
         {"[" + valid + "," + text + "]", "[" + text + "," + valid + "]",
          "[" + valid + "," + text + "," + valid + "]", "[1," + text + ",{}," + valid + "]"}) {
      CAPTURE(body);
      const BadRequest refused = bodies.refuse(body, Dialect::json_rpc);
      CHECK(refused.code == ErrorCode::parse_error);
      CHECK(refused.dialect == Dialect::json_rpc);
      CHECK(refused.id.empty());
    }
  }
  for (const std::string_view tail : {"]", "}", ",", "1", "x", "[]", "{}", "\"", "\xFF"}) {
    CAPTURE(tail);
    const std::string body = "[" + valid + "]" + std::string(tail);
    CHECK(bodies.refuse(body).code == ErrorCode::parse_error);
    CHECK(bodies.refuse(body).dialect == Dialect::article);
  }
  CHECK(bodies.parse_body("[" + valid + "] \r\n\t").is_batch);
}

TEST_CASE("a batch that is cut short anywhere is refused") {
  test::Bodies bodies;
  const std::string body =
      R"([{"jsonrpc":"2.0","method":"m\u0041","params":[{"a":null}],"id":"i"},1,[true],)"
      R"({"x":-1.5e3,"jsonrpc":"2.0","method":"n"},"\n"])";
  REQUIRE(bodies.parse_body(body).requests.size() == 5);
  for (std::size_t size = 0; size < body.size(); ++size) {
    CAPTURE(size);
    CHECK(bodies.refuse(body.substr(0, size)).code == ErrorCode::parse_error);
  }
}

TEST_CASE("a batch and its requests nest as deep as a body may") {
  test::Bodies bodies;
  constexpr std::size_t kLimit = limits::kMaxDepth;
  const auto batch = [](const std::string& params) {
    return "[" + request_with(R"("method":"m","params":)" + params) + "]";
  };
  const ParsedBody deepest = bodies.parse_body(batch(test::nested(kLimit - 2)));
  CHECK(deepest.is_batch);
  CHECK(std::get<Request>(deepest.requests[0]).params == test::nested(kLimit - 2));
  CHECK(bodies.refuse(batch(test::nested(kLimit - 1)))
            .message.starts_with("nested too deeply at column "));
  const std::string beside = "[" + request_with(R"("method":"m")") + ",";
  CHECK(bodies.parse_body(beside + test::nested(kLimit - 1) + "]").is_batch);
  CHECK(bodies.refuse(beside + test::nested(kLimit) + "]")
            .message.starts_with("nested too deeply at column "));
  CHECK(bodies.refuse(beside + test::nested(100'000) + "]").code == ErrorCode::parse_error);
  CHECK(bodies.parse_body(test::nested(kLimit), Dialect::json_rpc).is_batch);
  CHECK(bodies.refuse(test::nested(kLimit + 1), Dialect::json_rpc)
            .message.starts_with("nested too deeply at column "));
}

TEST_CASE("a parser of batches keeps nothing from one body to the next") {
  test::Bodies bodies;
  const std::string valid = request_with(R"("method":"m","id":1)");
  for (int i = 0; i < 3; ++i) {
    CHECK(bodies.parse_body("[" + valid + "," + valid + "]").requests.size() == 2);
    CHECK(bodies.refuse("[" + valid + ",").code == ErrorCode::parse_error);
    CHECK(bodies.accept(R"({"in":"a"})").method == "a");
    CHECK(bodies.parse_body("[" + valid + "]").requests.size() == 1);
    CHECK(bodies.refuse("[]").message == kNotAnObject);
  }
}

TEST_CASE("every name in a large batch can be read, also those with escapes") {
  test::Bodies bodies;
  std::string body = "[";
  for (std::size_t i = 0; i < limits::kMaxBatch; ++i) {
    if (i > 0) { body += ","; }
    body +=
        request_with(R"("method":"\u006d)" + std::to_string(i) + R"(","id":)" + std::to_string(i));
  }
  const ParsedBody batch = bodies.parse_body(body + "]");
  REQUIRE(batch.requests.size() == limits::kMaxBatch);
  for (std::size_t i = 0; i < limits::kMaxBatch; ++i) {
    const auto& request = std::get<Request>(batch.requests[i]);
    REQUIRE(request.method == "m" + std::to_string(i));
    REQUIRE(request.id == std::to_string(i));
  }
}

TEST_CASE("a body is a parse error where another parser says so, and nowhere else") {
  const std::vector<std::string> seeds = {
      R"([{"jsonrpc":"2.0","method":"m","params":[1,-2.5e3,null],"id":"x"},{"a":{}}, 1 ,[[]]])",
      R"([ true,"\ud83d\ude00",{"jsonrpc":"2.0","m\u0065thod":"n"} ])",
      R"({"jsonrpc":"2.0","method":"m","params":{"a":[0,false]},"id":1E-7})",
      R"([[],[1,{"in":"m"}],-12.5e+3,"\\\"",{}])",
  };
  const std::string_view alphabet = "{}[]:,\"\\ \n0123e+-.tfnuldDc89aA\x80\xC3\xED\xA0\x01";
  std::mt19937 random(2026);  // NOLINT(cert-msc51-cpp): the same texts each time
  const auto below = [&](std::size_t limit) { return random() % limit; };
  test::Bodies bodies;
  for (int round = 0; round < 30'000; ++round) {
    std::string text = seeds[below(seeds.size())];
    for (auto changes = below(3) + 1; changes > 0 && !text.empty(); --changes) {
      const auto place = below(text.size());
      const char byte = alphabet[below(alphabet.size())];
      switch (below(4)) {
        case 0: text[place] = byte; break;
        case 1: text.insert(place, 1, byte); break;
        case 2: text.erase(place, 1); break;
        default: std::swap(text[place], text[below(text.size())]);
      }
    }
    const Dialect usual = round % 2 == 0 ? Dialect::article : Dialect::json_rpc;
    const ParsedBody body = bodies.parse_body(text, usual);
    REQUIRE(!body.requests.empty());
    const BadRequest* bad = bad_of(body.requests.front());
    const bool accepted = bad == nullptr || bad->code != ErrorCode::parse_error;
    if (accepted != nlohmann::json::accept(text)) { FAIL_CHECK(accepted << ": " << text); }
  }
}

}  // namespace
}  // namespace handoff

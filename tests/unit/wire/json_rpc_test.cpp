// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "unit/support.hpp"
#include "unit/wire/body.hpp"
#include "wire/frame.hpp"
#include "wire/message.hpp"

namespace handoff {
namespace {

constexpr std::string_view kNotAnObject = "a request is an object";
constexpr std::string_view kNoVersion = R"('jsonrpc' is not "2.0")";

/// A request with these fields.
std::string request_with(const std::string& fields) {
  return R"({"jsonrpc":"2.0",)" + fields + "}";
}

std::string reply_problem(std::string_view text) {
  test::Bodies bodies;
  return test::thrown_by<ProtocolError>([&] { (void)bodies.reply(text); }).what();
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

// Requests.

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
    for (const std::string& field : fields) body += (body.empty() ? "{" : ",") + field;
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

// Batches.

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
  for (std::size_t i = 3; i < 7; ++i) check_bad(batch.requests[i], kNotAnObject);
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
    for (const ParsedRequest& request : batch.requests) CHECK(bad_of(request) != nullptr);
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
    const std::string most = test::repeat(one, frame::kMaxBatch - 1);
    const ParsedBody batch = bodies.parse_body("[" + most + call + "1]");
    CHECK(!batch.is_batch);
    REQUIRE(batch.requests.size() == 1);
    check_bad(batch.requests[0], "a batch of more than 1024 requests");
    const ParsedBody whole = bodies.parse_body("[" + most + call.substr(0, call.size() - 1) + "]");
    CHECK(whole.is_batch);
    CHECK(whole.requests.size() == frame::kMaxBatch);
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
  constexpr std::size_t kLimit = frame::kMaxDepth;
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
  for (std::size_t i = 0; i < frame::kMaxBatch; ++i) {
    if (i > 0) body += ",";
    body +=
        request_with(R"("method":"\u006d)" + std::to_string(i) + R"(","id":)" + std::to_string(i));
  }
  const ParsedBody batch = bodies.parse_body(body + "]");
  REQUIRE(batch.requests.size() == frame::kMaxBatch);
  for (std::size_t i = 0; i < frame::kMaxBatch; ++i) {
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
    if (accepted != nlohmann::json::accept(text)) FAIL_CHECK(accepted << ": " << text);
  }
}

// Replies.

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

// Writing.

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

TEST_CASE("objects and arrays can be params of JSON-RPC, scalars can't") {
  CHECK(is_structured("{}"));
  CHECK(is_structured("[1]"));
  for (const std::string_view json : {"", "1", "-1", "null", "true", R"("[]")", R"("{")"}) {
    CHECK(!is_structured(json));
  }
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "ping/payload.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace handoff {
namespace {

Reply pong(std::string_view result) {
  return {.out = "pong", .result = result};
}

TEST_CASE("the params of a probe are a JSON string of the size that was asked for") {
  for (const std::size_t size : {0U, 1U, 16U, 17U, 56U}) {
    PingPayload payload(size);
    const std::string json(payload.json(7));
    CHECK(payload.size() == size);
    CHECK(json.size() == size + 2);
    CHECK(json.starts_with('"'));
    CHECK(json.ends_with('"'));
    CHECK(json.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz", 1) == json.size() - 1);
  }
}

TEST_CASE("params begin with the number of their probe, and short ones have its last digits") {
  CHECK(PingPayload(20).json(42) == R"("0000000000000042qrst")");
  CHECK(PingPayload(3).json(12345) == R"("345")");
  PingPayload payload(16);
  CHECK(payload.json(1) == R"("0000000000000001")");
  CHECK(payload.json(123) == R"("0000000000000123")");
}

TEST_CASE("a pong with the params of its probe has no problem, however the string is written") {
  PingPayload payload(2);
  CHECK(payload.problem_of(pong(R"("07")"), 7).empty());
  CHECK(payload.problem_of(pong(R"("\u00307")"), 7).empty());
}

TEST_CASE("a pong with the params of another probe, or none, has a problem") {
  PingPayload payload(2);
  for (const char* other : {R"("08")", R"("7")", "7", "null", R"({"a":"07"})"}) {
    CHECK(payload.problem_of(pong(other), 7) == "the result is not the params that were sent");
  }
}

TEST_CASE("a reply of another name is told from a pong") {
  PingPayload payload(2);
  Reply reply = pong(R"("07")");
  reply.out = "echo";
  CHECK(payload.problem_of(reply, 7) == "the reply is 'echo' and not 'pong'");
}

TEST_CASE("the params of a method are always the same, and any reply but an error is good") {
  PingPayload payload(std::string(R"({"a":1})"));
  CHECK(payload.size() == 7);
  CHECK(payload.json(1) == R"({"a":1})");
  CHECK(payload.json(2) == R"({"a":1})");
  CHECK(payload.problem_of({.out = "upper", .result = "17"}, 1).empty());
  CHECK(!payload.number_in({.out = "upper", .result = "17"}));
  const Reply error{.out = "error", .result = R"({"code":-32003,"message":"busy"})"};
  CHECK(payload.problem_of(error, 1) == "busy (code -32003)");
}

TEST_CASE("an error reply is told by its message and its code, if it has them") {
  PingPayload payload(2);
  Reply reply;
  reply.out = "error";
  reply.result = R"({"code":-32003,"message":"busy"})";
  CHECK(payload.problem_of(reply, 7) == "busy (code -32003)");
  reply.result = "1";
  CHECK(payload.problem_of(reply, 7) == "an error reply");
}

TEST_CASE("a reply tells which probe it answers when its params have room for the whole number") {
  PingPayload payload(16);
  const std::string json(payload.json(1234567));
  CHECK(payload.number_in(pong(json)) == 1234567);
  PingPayload longer(30);
  std::string another(longer.json(8));
  CHECK(longer.number_in(pong(another)) == 8);
  another[25] = '?';
  CHECK(!longer.number_in(pong(another)));
  CHECK(!longer.number_in(pong(json)));
  CHECK(!payload.number_in(pong(R"("00000000000000x1")")));
  PingPayload shorter(15);
  const std::string digits(shorter.json(5));
  CHECK(!shorter.number_in(pong(digits)));
}

}  // namespace
}  // namespace handoff

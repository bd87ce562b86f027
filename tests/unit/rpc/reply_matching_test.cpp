// SPDX-License-Identifier: MIT
#include "rpc/reply_matching.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include <handoff/wire/errors.hpp>

namespace handoff {
namespace {

Reply result_with(std::string_view id) {
  return {"", "1", id, "{}"};
}

Reply error_with(std::string_view id) {
  return {"error", "{}", id, "{}"};
}

std::string problem(const Reply& reply, Dialect dialect, WaitingCalls calls = {1, 1}) {
  try {
    call_answered_by(reply, dialect, calls, "./s");
  } catch (const ProtocolError& error) { return error.what(); }
  return "";
}

TEST_CASE("a reply without an id answers the first call of those that wait") {
  CHECK(call_answered_by(result_with(""), Dialect::article, {3, 9}, "./s") == 3);
  CHECK(call_answered_by(result_with("null"), Dialect::article, {3, 9}, "./s") == 3);
  CHECK(call_answered_by(error_with(""), Dialect::article, {3, 9}, "./s") == 3);
}

TEST_CASE("a reply with an id does not answer a call without one") {
  CHECK(problem(result_with("7"), Dialect::article) ==
        "./s sent a reply to another call: it has the id 7, and the call has none");
  CHECK(!problem(error_with("\"a\""), Dialect::article).empty());
}

TEST_CASE("a reply of JSON-RPC answers the call whose id it has") {
  for (const std::string_view id : {"3", "5", "9"}) {
    CHECK(call_answered_by(result_with(id), Dialect::json_rpc, {3, 9}, "./s") ==
          static_cast<std::uint64_t>(id[0] - '0'));
    CHECK(call_answered_by(error_with(id), Dialect::json_rpc, {3, 9}, "./s") ==
          static_cast<std::uint64_t>(id[0] - '0'));
  }
}

TEST_CASE("a reply of JSON-RPC whose id is that of no call that waits answers none") {
  for (const std::string_view id : {"2", "10", "-3", "3.5", "\"3\"", "99999999999999999999"}) {
    CAPTURE(id);
    CHECK(problem(result_with(id), Dialect::json_rpc, {3, 9}) ==
          "./s sent a reply to another call: it has the id " + std::string(id) +
              ", and the calls have the ids 3 to 9");
    CHECK(!problem(error_with(id), Dialect::json_rpc, {3, 9}).empty());
  }
  CHECK(problem(result_with("999"), Dialect::json_rpc) ==
        "./s sent a reply to another call: it has the id 999, and the call has the id 1");
}

TEST_CASE("a reply of JSON-RPC without an id is an error about the first call, or answers none") {
  CHECK(call_answered_by(error_with("null"), Dialect::json_rpc, {3, 9}, "./s") == 3);
  CHECK(call_answered_by(error_with(""), Dialect::json_rpc, {3, 9}, "./s") == 3);
  for (const std::string_view id : {"", "null"}) {
    CHECK(problem(result_with(id), Dialect::json_rpc) ==
          "./s sent a reply to another call: it has no id, and the call has the id 1");
  }
}

}  // namespace
}  // namespace handoff

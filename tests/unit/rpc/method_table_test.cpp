// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <string_view>

#include <handoff/os/error.hpp>
#include <handoff/rpc/method_table.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

using std::operator""sv;

Handler handler() {
  return [](const Call&) -> Task<Result> { co_return Result::success("1"); };
}

TEST_CASE("a method is found by its whole name") {
  MethodTable table;
  table.add("a", handler());
  CHECK(table.find("a") != nullptr);
  for (const std::string_view name : {""sv, "A"sv, "a."sv, "ab"sv, "a\0"sv}) {
    CHECK(table.find(name) == nullptr);
  }
}

TEST_CASE("a name with a star stands for all that begin so, the longest first") {
  MethodTable table;
  table.add("users.*", handler());
  table.add("users.admin.*", handler());
  table.add("users.admin.one", handler());
  const Method* users = table.find("users.x");
  const Method* admin = table.find("users.admin.x");
  REQUIRE(users != nullptr);
  CHECK(admin != nullptr);
  CHECK(users != admin);
  CHECK(table.find("users.admin") == users);
  CHECK(table.find("users.") == users);
  CHECK(table.find("users") == nullptr);
  CHECK(table.find("users.admin.one") != admin);
  CHECK(table.find("other") == nullptr);
  table.add("*", handler());
  CHECK(table.find("other") != nullptr);
  CHECK(table.find("users.x") == users);
}

TEST_CASE("a reply to a pattern's call has the call's own name, one to ping is a pong") {
  MethodTable table;
  table.add("a.*", handler());
  table.add("ping", handler());
  table.add("other", handler());
  CHECK(table.find("a.b")->quoted_name.empty());
  CHECK(table.find("ping")->quoted_name == "\"pong\"");
  CHECK(table.find("other")->quoted_name == "\"other\"");
}

TEST_CASE("a name is given once, and is not empty") {
  MethodTable table;
  table.add("a", handler());
  table.add("a.*", handler());
  CHECK_THROWS_AS(table.add("a", handler()), InvalidArgument);
  CHECK_THROWS_AS(table.add("a.*", handler()), InvalidArgument);
  CHECK_THROWS_AS(table.add("", handler()), InvalidArgument);
}

}  // namespace
}  // namespace handoff

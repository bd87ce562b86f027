// SPDX-License-Identifier: MIT
#include "rpc/method_table.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "os/error.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using std::operator""sv;

Handler handler() {
  return [](const Call&) -> Task<Result> { co_return Result::success("1"); };
}

TEST_CASE("a method is found by its whole name") {
  Handlers handlers;
  handlers.add("a", handler());
  CHECK(handlers.find("a") != nullptr);
  for (const std::string_view name : {""sv, "A"sv, "a."sv, "ab"sv, "a\0"sv}) {
    CHECK(handlers.find(name) == nullptr);
  }
}

TEST_CASE("a name with a star stands for all that begin so, the longest first") {
  Handlers handlers;
  handlers.add("users.*", handler());
  handlers.add("users.admin.*", handler());
  handlers.add("users.admin.one", handler());
  const Method* users = handlers.find("users.x");
  const Method* admin = handlers.find("users.admin.x");
  REQUIRE(users != nullptr);
  CHECK(admin != nullptr);
  CHECK(users != admin);
  CHECK(handlers.find("users.admin") == users);
  CHECK(handlers.find("users.") == users);
  CHECK(handlers.find("users") == nullptr);
  CHECK(handlers.find("users.admin.one") != admin);
  CHECK(handlers.find("other") == nullptr);
  handlers.add("*", handler());
  CHECK(handlers.find("other") != nullptr);
  CHECK(handlers.find("users.x") == users);
}

TEST_CASE("a reply to a pattern's call has the call's own name, one to ping is a pong") {
  Handlers handlers;
  handlers.add("a.*", handler());
  handlers.add("ping", handler());
  handlers.add("other", handler());
  CHECK(handlers.find("a.b")->quoted_name.empty());
  CHECK(handlers.find("ping")->quoted_name == "\"pong\"");
  CHECK(handlers.find("other")->quoted_name == "\"other\"");
}

TEST_CASE("a name is given once, and is not empty") {
  Handlers handlers;
  handlers.add("a", handler());
  handlers.add("a.*", handler());
  CHECK_THROWS_AS(handlers.add("a", handler()), InvalidArgument);
  CHECK_THROWS_AS(handlers.add("a.*", handler()), InvalidArgument);
  CHECK_THROWS_AS(handlers.add("", handler()), InvalidArgument);
}

TEST_CASE("what is there already takes the place of what is built in") {
  Handlers handlers;
  handlers.add("echo", handler());
  add_built_in_methods(handlers, 3);
  CHECK(handlers.find("echo")->handler);
  CHECK(handlers.find("ping")->instant);
  CHECK(handlers.names() == std::vector<std::string>{"echo", "info", "methods", "ping"});
  Request request;
  request.method = "info";
  const std::string info(handlers.find("info")->instant(request));
  CHECK(info.find("\"worker\":3") != std::string::npos);
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "rpc/builtin_methods.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace handoff {
namespace {

TEST_CASE("what is there already takes the place of what is built in") {
  MethodTable table;
  table.add("echo", [](const Call&) -> Task<Result> { co_return Result::success("1"); });
  add_built_in_methods(table, 3);
  CHECK(table.find("echo")->handler);
  CHECK(table.find("ping")->instant);
  CHECK(table.names() == std::vector<std::string>{"echo", "info", "methods", "ping"});
  Request request;
  request.method = "info";
  const std::string info(table.find("info")->instant(request));
  CHECK(info.find("\"worker\":3") != std::string::npos);
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "commands/call_options.hpp"

#include <doctest/doctest.h>

namespace handoff {
namespace {

TEST_CASE("params of JSON-RPC are an object, an array, or null for none") {
  for (const char* json : {"{}", "[]", " {\"a\":1}", "\t\r\n[1]", "null", " null"}) {
    CAPTURE(json);
    CHECK(is_json_rpc_params(json));
  }
  for (const char* json : {"1", "\"{}\"", "true", " -1", "false"}) {
    CAPTURE(json);
    CHECK_FALSE(is_json_rpc_params(json));
  }
}

}  // namespace
}  // namespace handoff

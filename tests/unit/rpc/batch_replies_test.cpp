// SPDX-License-Identifier: MIT
#include "rpc/batch_replies.hpp"

#include <doctest/doctest.h>

#include <string>

namespace handoff {
namespace {

TEST_CASE("the replies of a batch go in one array") {
  BatchReplies batch(100);
  batch.add("1");
  batch.add("2");
  CHECK(batch.held() == 4);
  std::string out;
  batch.finish(out, Framing::lines);
  CHECK(out == "[1,2]\n");
}

TEST_CASE("a batch without replies is not answered") {
  BatchReplies batch(100);
  std::string out;
  batch.finish(out, Framing::length);
  CHECK(out.empty());
}

TEST_CASE("a batch whose replies are too long for a frame gets one error, and holds none of them") {
  BatchReplies batch(200);
  batch.add(std::string(150, 'x'));
  batch.add(std::string(150, 'x'));
  batch.add("1");
  CHECK(batch.held() == 0);
  std::string out;
  batch.finish(out, Framing::lines);
  CHECK(out ==
        "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32001,\"message\":\"the reply exceeds the limit "
        "of 200 bytes\"},\"id\":null}\n");
}

TEST_CASE("the last call of a batch is told") {
  BatchReplies batch(100);
  CHECK(!batch.has_calls());
  batch.call_begins();
  batch.call_begins();
  CHECK(!batch.call_ends());
  CHECK(batch.has_calls());
  CHECK(batch.call_ends());
}

}  // namespace
}  // namespace handoff

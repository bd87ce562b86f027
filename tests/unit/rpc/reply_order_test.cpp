// SPDX-License-Identifier: MIT
#include "rpc/reply_order.hpp"

#include <doctest/doctest.h>

#include <string>

namespace handoff {
namespace {

TEST_CASE("replies leave in the order of their places, and count while they wait") {
  ReplyOrder order;
  ReplyOrder::Place& first = order.add();
  ReplyOrder::Place& second = order.add();
  std::string out;
  second.reply() = "second";
  order.done(second);
  CHECK(order.held() == 6);
  order.leave(out);
  CHECK(out.empty());
  first.reply() = "first ";
  order.done(first);
  order.leave(out);
  CHECK(out == "first second");
  CHECK(order.held() == 0);
  CHECK(order.empty());
}

}  // namespace
}  // namespace handoff

// SPDX-License-Identifier: MIT
#include "rpc/reply_order.hpp"

#include <doctest/doctest.h>

#include <string>

namespace handoff {
namespace {

struct Place final : ReplyOrder::Place {};

TEST_CASE("replies leave in the order of their places, and count while they wait") {
  ReplyOrder order;
  Place first;
  Place second;
  std::string out;
  order.add(first);
  order.add(second);
  CHECK(order.is_first(first));
  CHECK(!order.is_first(second));
  order.keep(second, "second");
  CHECK(order.held() == 6);
  CHECK(order.leave(out) == nullptr);
  CHECK(out.empty());
  order.keep(first, "first ");
  CHECK(order.leave(out) == &first);
  CHECK(!first.has_place());
  CHECK(order.leave(out) == &second);
  CHECK(out == "first second");
  CHECK(order.held() == 0);
  CHECK(order.empty());
}

TEST_CASE("a reply that is removed leaves no other's way closed, and counts no more") {
  ReplyOrder order;
  Place first;
  Place second;
  std::string out;
  order.add(first);
  order.add(second);
  order.keep(second, "second");
  order.remove(first);
  CHECK(order.size() == 1);
  order.remove(second);
  CHECK(order.held() == 0);
  // A place that is used again is awaited.
  order.add(second);
  CHECK(order.leave(out) == nullptr);
  order.remove(second);
}

}  // namespace
}  // namespace handoff

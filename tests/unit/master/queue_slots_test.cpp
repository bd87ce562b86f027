// SPDX-License-Identifier: MIT
#include "master/queue_slots.hpp"

#include <doctest/doctest.h>

#include "unit/master/given_call.hpp"

namespace handoff {
namespace {

TEST_CASE("a slot is found by the ticket of its call until it is free") {
  QueueSlots slots(2);
  GivenCall call(0, "one");
  QueueSlot& slot = slots.take(call);
  const std::uint64_t ticket = call.ticket();
  CHECK(ticket != 0);
  CHECK(slot.call == &call);
  CHECK(slots.find(ticket) == &slot);
  CHECK(slots.used() == 1);
  slots.free(slot);
  CHECK(call.ticket() == 0);
  CHECK(slots.find(ticket) == nullptr);
  CHECK(slots.used() == 0);
}

TEST_CASE("a ticket that is renewed, or of a slot that is used again, is another one") {
  QueueSlots slots(1);
  GivenCall first(0, "first");
  QueueSlot& slot = slots.take(first);
  const std::uint64_t oldest = first.ticket();
  slots.renew_ticket(slot);
  const std::uint64_t renewed = first.ticket();
  CHECK(renewed != oldest);
  CHECK(slots.find(oldest) == nullptr);
  CHECK(slots.find(renewed) == &slot);
  slots.free(slot);
  GivenCall second(0, "second");
  CHECK(&slots.take(second) == &slot);
  CHECK(second.ticket() != renewed);
  CHECK(slots.find(renewed) == nullptr);
  slots.free(slot);
}

TEST_CASE("a table is full until one of its slots is free again") {
  QueueSlots slots(2);
  GivenCall one(0, "one");
  GivenCall two(0, "two");
  QueueSlot& first = slots.take(one);
  CHECK_FALSE(slots.are_full());
  QueueSlot& second = slots.take(two);
  CHECK(slots.are_full());
  slots.free(first);
  CHECK_FALSE(slots.are_full());
  slots.free(second);
}

TEST_CASE("a ticket that no table has given finds nothing") {
  QueueSlots slots(2);
  for (const std::uint64_t ticket : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2},
                                     std::uint64_t{1} << 32U, ~std::uint64_t{0}}) {
    CHECK(slots.find(ticket) == nullptr);
  }
}

}  // namespace
}  // namespace handoff

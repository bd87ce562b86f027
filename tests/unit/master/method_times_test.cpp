// SPDX-License-Identifier: MIT
#include "master/method_times.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

namespace handoff {
namespace {

TEST_CASE("what a method takes is not known before a call has told") {
  MethodTimes times;
  CHECK(times.expected(MethodTimes::index_of("sum")) == 0);
  times.add(MethodTimes::index_of("sum"), 0);
  CHECK(times.expected(MethodTimes::index_of("sum")) == 0);
}

TEST_CASE(
    "the first call of a method tells all, and those that follow change it little by little") {
  MethodTimes times;
  const MethodTimes::Index sum = MethodTimes::index_of("sum");
  times.add(sum, 8'000);
  CHECK(times.expected(sum) == 8'000);
  times.add(sum, 80'000);
  CHECK(times.expected(sum) == 17'000);
  for (int i = 0; i < 100; ++i) { times.add(sum, 80'000); }
  CHECK(times.expected(sum) > 79'900);
  CHECK(times.expected(sum) <= 80'000);
  for (int i = 0; i < 100; ++i) { times.add(sum, 800); }
  CHECK(times.expected(sum) < 1'000);
}

TEST_CASE("methods have means of their own, as far as the table goes") {
  MethodTimes times;
  const MethodTimes::Index slow = MethodTimes::index_of("slow");
  MethodTimes::Index fast = slow;
  for (int i = 0; fast == slow; ++i) { fast = MethodTimes::index_of(fmt::format("fast{}", i)); }
  times.add(slow, 50'000'000);
  times.add(fast, 50'000);
  CHECK(times.expected(slow) == 50'000'000);
  CHECK(times.expected(fast) == 50'000);
}

}  // namespace
}  // namespace handoff

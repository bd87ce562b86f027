// SPDX-License-Identifier: MIT
#include "async/backoff.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace handoff {
namespace {

using std::chrono::milliseconds;

TEST_CASE("pauses double up to the last, and begin again after a success") {
  Backoff backoff(milliseconds(20), milliseconds(100));
  CHECK(backoff.next() == milliseconds(20));
  CHECK(backoff.next() == milliseconds(40));
  CHECK(backoff.next() == milliseconds(80));
  CHECK(backoff.next() == milliseconds(100));
  CHECK(backoff.next() == milliseconds(100));
  backoff.reset();
  CHECK(backoff.next() == milliseconds(20));
}

}  // namespace
}  // namespace handoff

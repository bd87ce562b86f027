// SPDX-License-Identifier: MIT
#include "os/child_claim.hpp"

#include <doctest/doctest.h>

#include <future>
#include <thread>
#include <utility>

namespace handoff {
namespace {

/// Numbers that no process has: a claim is about the number alone.
constexpr pid_t kChild = 1 << 28;
constexpr pid_t kOther = kChild + 1;

TEST_CASE("a child is claimed until its claim is released or destroyed") {
  CHECK(!ChildClaim::exists(kChild));
  {
    ChildClaim claim(kChild);
    CHECK(ChildClaim::exists(kChild));
    CHECK(!ChildClaim::exists(kOther));
    claim.release();
    CHECK(!ChildClaim::exists(kChild));
    const ChildClaim again(kChild);
    claim.release();  // it has none any more
    CHECK(ChildClaim::exists(kChild));
  }
  CHECK(!ChildClaim::exists(kChild));
}

TEST_CASE("a claim that is moved goes with the object that it is moved to") {
  ChildClaim to;
  {
    ChildClaim from(kChild);
    ChildClaim between(std::move(from));
    to = std::move(between);
  }
  CHECK(ChildClaim::exists(kChild));
  to = ChildClaim(kOther);
  CHECK(!ChildClaim::exists(kChild));
  CHECK(ChildClaim::exists(kOther));
  to = ChildClaim();
  CHECK(!ChildClaim::exists(kOther));
}

TEST_CASE("a child that has two claims is claimed until both are released") {
  ChildClaim first(kChild);
  ChildClaim second(kChild);
  first.release();
  CHECK(ChildClaim::exists(kChild));
  second.release();
  CHECK(!ChildClaim::exists(kChild));
}

TEST_CASE("no number of a process makes no claim") {
  for (const pid_t none : {0, -1}) {
    const ChildClaim claim(none);
    CHECK(!ChildClaim::exists(none));
  }
}

TEST_CASE("the thread that has frozen the claims may make one, and another thread waits") {
  auto frozen = ChildClaim::freeze();
  std::promise<void> begun;
  std::thread other([&] {
    begun.set_value();
    const ChildClaim claim(kOther);
    // The thread that holds the lock has made its own claim by then.
    CHECK(ChildClaim::exists(kChild));
  });
  begun.get_future().wait();
  const ChildClaim claim(kChild);
  frozen.unlock();
  other.join();
  CHECK(!ChildClaim::exists(kOther));
}

}  // namespace
}  // namespace handoff

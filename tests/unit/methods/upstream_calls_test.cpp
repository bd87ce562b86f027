// SPDX-License-Identifier: MIT
#include "methods/upstream_calls.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "rpc/pending_call.hpp"

namespace handoff {
namespace {

struct SomeCall final : PendingCall {
  void finish(const ResultView&) override {}
};

using Ids = std::vector<std::uint64_t>;

TEST_CASE("a call is found by its id until it is removed, and by no other") {
  UpstreamCalls calls(2);
  SomeCall call;
  CHECK(calls.empty());
  const std::uint64_t id = calls.add(call, UpstreamAttempt::first).id;
  CHECK(id == 1);
  REQUIRE(calls.find(id) != nullptr);
  CHECK(calls.find(id)->call == &call);
  for (const std::uint64_t other : {0UL, 2UL, 3UL, 1UL << 32, ~0UL}) {
    CHECK(calls.find(other) == nullptr);
  }
  calls.remove(*calls.find(id));
  CHECK(calls.find(id) == nullptr);
  CHECK(calls.empty());
}

TEST_CASE("no two calls of a connection have the same id") {
  UpstreamCalls calls(4);
  std::array<SomeCall, 4> some;
  std::set<std::uint64_t> seen;
  std::size_t added = 0;
  for (int round = 0; round < 50; ++round) {
    while (calls.size() < some.size()) {
      seen.insert(calls.add(some[calls.size()], UpstreamAttempt::first).id);
      ++added;
    }
    const Ids ids = calls.ids();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if ((round + static_cast<int>(i)) % 3 != 0) { calls.remove(*calls.find(ids[i])); }
    }
  }
  CHECK(added > 100);
  CHECK(seen.size() == added);
}

TEST_CASE("calls keep the order in which they were added, whichever of them is removed") {
  UpstreamCalls calls(4);
  SomeCall call;
  for (int i = 0; i < 4; ++i) { calls.add(call, UpstreamAttempt::first); }
  CHECK(calls.ids() == Ids{1, 2, 3, 4});
  calls.remove(*calls.find(2));
  CHECK(calls.ids() == Ids{1, 3, 4});
  calls.add(call, UpstreamAttempt::first);
  CHECK(calls.ids() == Ids{1, 3, 4, 6});
  calls.remove(*calls.find(6));
  calls.remove(*calls.find(1));
  CHECK(calls.ids() == Ids{3, 4});
  CHECK(calls.first()->id == 3);
  while (calls.first() != nullptr) { calls.remove(*calls.first()); }
  CHECK(calls.ids().empty());
  CHECK(calls.add(call, UpstreamAttempt::first).id == 8);
  CHECK(calls.first()->id == 8);
}

}  // namespace
}  // namespace handoff

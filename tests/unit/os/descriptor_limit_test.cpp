// SPDX-License-Identifier: MIT
#include "os/descriptor_limit.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include "unit/support.hpp"

namespace handoff {
namespace {

TEST_CASE("raising the descriptor limit remembers what it was") {
  const std::size_t original = original_descriptor_limit();
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const test::DescriptorLimit lowered(100);
  CHECK(descriptor_limit() == 100);
  CHECK(raise_descriptor_limit() == original);
  CHECK(descriptor_limit() == limit.rlim_max);
  CHECK(raise_descriptor_limit() == original);
}

}  // namespace
}  // namespace handoff

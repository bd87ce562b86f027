// SPDX-License-Identifier: MIT
#include "os/host_lookup.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

namespace handoff {
namespace {

TEST_CASE("a numeric address is found as it is, once, and with no port") {
  for (const auto& [host, text] :
       {std::pair{"127.0.0.1", "127.0.0.1:0"}, std::pair{"::1", "[::1]:0"}}) {
    const HostLookup found = look_up_host(host);
    CHECK(!found.failure);
    REQUIRE(found.addresses.size() == 1);
    CHECK(found.addresses.front().text() == text);
  }
}

TEST_CASE("localhost has loopback addresses alone") {
  const HostLookup found = look_up_host("localhost");
  CHECK(!found.failure);
  REQUIRE(!found.addresses.empty());
  CHECK(std::all_of(
      found.addresses.begin(), found.addresses.end(),
      [](const SocketAddress& address) { return address.is_loopback() && address.port() == 0; }));
}

TEST_CASE("a name that no host has gives no address, and why, and may be known later") {
  // Names that can't be asked for: no name server hears of them.
  for (const std::string& name : {std::string(300, 'a'), std::string("a..b")}) {
    const HostLookup found = look_up_host(name);
    CHECK(found.addresses.empty());
    REQUIRE(found.failure.has_value());
    CHECK(found.failure->error_number == 0);
    CHECK(!found.failure->reason.empty());
    CHECK(found.failure->outlook == Outlook::may_change);
  }
}

}  // namespace
}  // namespace handoff

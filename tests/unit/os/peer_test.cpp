// SPDX-License-Identifier: MIT
#include "os/peer.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Mapped = DistinctUsers::Mapped;
using Reason = RefusedPeer::Reason;

constexpr std::string_view kOverflow = "65534\n";
constexpr std::string_view kWhole = "         0          0 4294967295\n";
constexpr std::string_view kContainer = "         0     100000      65536\n";
constexpr std::string_view kNobodyOnly = "     65534     200000          1\n";

constexpr uid_t kOwn = 1000;
constexpr std::array<uid_t, 2> kAllowed = {7, 65534};

/// Why a user is refused, where the own is 1000 and 7 and 65534 are allowed.
std::optional<Reason> reason(uid_t uid, std::string_view map, std::string_view overflow = kOverflow,
                             uid_t own = kOwn) {
  const auto refused = judge_user(uid, own, kAllowed, DistinctUsers::from(overflow, map));
  if (!refused) { return std::nullopt; }
  CHECK(refused->uid == uid);
  return refused->reason;
}

TEST_CASE("the own user, root and the allowed users may be at the other end, and nobody else") {
  for (const std::string_view map : {kWhole, kContainer}) {
    CHECK(reason(kOwn, map) == std::nullopt);
    CHECK(reason(0, map) == std::nullopt);
    CHECK(reason(7, map) == std::nullopt);
    CHECK(reason(8, map) == Reason::another_user);
    CHECK(reason(kOwn + 1, map) == Reason::another_user);
  }
}

TEST_CASE("the overflow uid is a user like others where every uid is mapped") {
  CHECK(reason(65534, kWhole) == std::nullopt);  // allowed
  CHECK(reason(65534, kWhole, kOverflow, 65534) == std::nullopt);
  CHECK(judge_user(65534, kOwn, {}, DistinctUsers::from(kOverflow, kWhole))->reason ==
        Reason::another_user);
}

TEST_CASE("the overflow uid cannot be allowed where some uids are not mapped, nor be the own") {
  for (const std::string_view map : {kContainer, kNobodyOnly}) {
    CHECK(reason(65534, map) == Reason::ambiguous_user);
    CHECK(reason(65534, map, kOverflow, 65534) == Reason::ambiguous_user);
  }
  CHECK(reason(65534, "") == Reason::every_user);
  CHECK(reason(65534, "", kOverflow, 65534) == Reason::every_user);
}

TEST_CASE("the overflow uid is the one that the system has set, root's too") {
  CHECK(reason(7, kContainer, "7\n") == Reason::ambiguous_user);
  CHECK(reason(65534, kContainer, "7\n") == std::nullopt);
  CHECK(reason(0, kContainer, "0\n") == Reason::ambiguous_user);
  CHECK(reason(kOwn, kContainer, "1000\n") == Reason::ambiguous_user);
}

TEST_CASE("a map covers every uid with one range or with several") {
  const auto mapped = [](std::string_view map) {
    return DistinctUsers::from(kOverflow, map).mapped;
  };
  CHECK(mapped(kWhole) == Mapped::all);
  CHECK(mapped("0 1 1\n1 0 1\n2 2 4294967293\n") == Mapped::all);
  CHECK(mapped("0 0 4294967294\n") == Mapped::some);
  CHECK(mapped("0 1 4294967293\n4294967294 0 1\n") == Mapped::some);
  CHECK(mapped(kContainer) == Mapped::some);
  CHECK(mapped("") == Mapped::none);
}

TEST_CASE("what cannot be read of a map maps nobody, and an overflow uid is 65534") {
  CHECK(DistinctUsers::from("", kWhole).overflow_uid == 65534);
  CHECK(DistinctUsers::from("many\n", kWhole).overflow_uid == 65534);
  CHECK(DistinctUsers::from("99\n", kWhole).overflow_uid == 99);
  for (const std::string_view map : {"0 0", "0 0 all\n", "0 0 -1\n", "0 0 99999999999999\n"}) {
    CAPTURE(map);
    CHECK(DistinctUsers::from(kOverflow, map).mapped == Mapped::none);
  }
}

TEST_CASE("the remedy names the option, or what is wrong with the user namespace") {
  const auto remedy = [](Reason reason) { return std::string(RefusedPeer{reason, 1}.remedy()); };
  CHECK(remedy(Reason::another_user) == "--allow-uid allows it");
  CHECK(remedy(Reason::ambiguous_user).find("user namespace does not map") != std::string::npos);
  CHECK(remedy(Reason::every_user).find("uid_map") != std::string::npos);
}

TEST_CASE("the process at the other end of a Unix socket is known") {
  const auto [left, right] = make_socket_pair(SOCK_STREAM);
  const PeerCredentials peer = peer_credentials(left.get());
  CHECK(peer.uid == geteuid());
  CHECK(peer.pid == getpid());
  const auto [read_end, write_end] = make_pipe();
  const auto error =
      test::thrown_by<SystemError>([number = read_end.get()] { (void)peer_credentials(number); });
  CHECK(error.error_number() == ENOTSOCK);
}

TEST_CASE("a socket of this process's own user is judged by the user namespace that it runs in") {
  const test::DescriptorCheck check;
  const auto [left, right] = make_socket_pair(SOCK_STREAM);
  const DistinctUsers users = DistinctUsers::of_this_process();
  const bool is_ambiguous = geteuid() == users.overflow_uid && users.mapped != Mapped::all;
  CHECK(PeerJudge().refuse(left.get()).has_value() == is_ambiguous);
}

}  // namespace
}  // namespace handoff

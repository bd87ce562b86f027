// SPDX-License-Identifier: MIT
#include "os/signals.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>

#include "unit/support.hpp"

namespace handoff {
namespace {

bool is_blocked(int signal) {
  sigset_t mask;
  sigemptyset(&mask);
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

TEST_CASE("a raised signal is read, once") {
  const test::DescriptorCheck check;
  const SignalMask mask({SIGUSR1, SIGUSR2});
  CHECK(mask.try_read() == std::nullopt);
  raise(SIGUSR1);
  CHECK(test::becomes_readable(mask.fd()));
  CHECK(mask.try_read() == SIGUSR1);
  CHECK(mask.try_read() == std::nullopt);
}

TEST_CASE("each of several waiting signals is read") {
  const SignalMask mask({SIGUSR1, SIGUSR2});
  raise(SIGUSR2);
  raise(SIGUSR1);
  const auto first = mask.try_read();
  const auto second = mask.try_read();
  REQUIRE(first);
  REQUIRE(second);
  CHECK(*first + *second == SIGUSR1 + SIGUSR2);
  CHECK(*first != *second);
  CHECK(mask.try_read() == std::nullopt);
}

TEST_CASE("only the signals asked for are blocked, until the mask is destroyed") {
  REQUIRE(!is_blocked(SIGUSR1));
  {
    const SignalMask mask({SIGUSR1});
    CHECK(is_blocked(SIGUSR1));
    CHECK(!is_blocked(SIGUSR2));
  }
  CHECK(!is_blocked(SIGUSR1));
}

TEST_CASE("a mask that lasts until the exit leaves its signals blocked") {
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, nullptr, &before);
  { const SignalMask mask({SIGUSR1}, SignalMask::Until::exit); }
  CHECK(is_blocked(SIGUSR1));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("masks nest: the inner one leaves what the outer one blocks") {
  const SignalMask outer({SIGUSR1});
  { const SignalMask inner({SIGUSR1, SIGUSR2}); }
  CHECK(is_blocked(SIGUSR1));
  CHECK(!is_blocked(SIGUSR2));
}

TEST_CASE("the signal descriptor neither blocks nor is inherited") {
  const SignalMask mask({SIGUSR1});
  CHECK(test::is_nonblocking(mask.fd()));
  CHECK(test::closes_on_exec(mask.fd()));
}

}  // namespace
}  // namespace handoff
